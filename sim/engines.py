"""Which simulated engine a profile stands for: vLLM, or one of the older engines of the benchmark notes."""

from __future__ import annotations

from typing import Any

from sim.clock import Clock
from sim.cluster import Cluster, SimulatedEngine
from sim.engine import Engine
from sim.frontend import EngineDelays
from sim.hugging_face import OneAtATime
from sim.parrot_engine import ParrotBatcher, ParrotSettings
from sim.profile import Profile, Scheduler
from sim.settings import EngineSettings
from sim.stepped import Batcher, SteppedEngine
from sim.vllm_2023 import Vllm2023Batcher, Vllm2023Settings

#: Seconds that vLLM's engine core sleeps after an output when the step planned last runs nothing and calls have just
#: ended (`EngineCoreProc._process_engine_step`, vLLM 0.24.0); only asynchronous scheduling plans such steps.
EMPTY_STEP_SLEEP = 0.001


class EngineMaker:
    """Makes equal engines of one profile.

    Parameters
    ----------
    profile : Profile
        Its scheduler decides what is made.
    settings : EngineSettings
        Limits. An older engine takes those that it has: blocks, batch and token limits.
    skip : bool
        Jump over boundaries at which nothing can change.
    reference : bool
        vLLM's own scheduler (`sim.reference`), which skips nothing.

    Raises
    ------
    ValueError
        When the reference is asked for with a profile of an older engine.
    """

    def __init__(
        self, profile: Profile, settings: EngineSettings, *, skip: bool = True, reference: bool = False
    ) -> None:
        if reference and profile.scheduler != "vllm":
            raise ValueError(
                f"profile {profile.name!r}: the reference engine is vLLM, its engine is {profile.scheduler!r}"
            )
        self._scheduler = profile.scheduler
        self._settings = settings
        self._cost = profile.step_cost(settings.async_scheduling and profile.scheduler == "vllm")
        self._delays = engine_delays(profile)
        self._skip = skip
        self._reference = reference

    def make(self, engine_id: int, clock: Clock, listener: Cluster) -> SimulatedEngine:
        """One engine of a cluster."""
        common: dict[str, Any] = {
            "engine_id": engine_id,
            "step_cost": self._cost,
            "clock": clock,
            "listener": listener,
            "delays": self._delays,
            "on_first_token": listener.on_first_token,
        }
        if self._reference:
            from sim.reference.engine import ReferenceEngine  # late: it needs vLLM, which takes seconds to import

            return ReferenceEngine(settings=self._settings, **common)
        common["skip"] = self._skip
        if self._scheduler == "vllm":
            return Engine(settings=self._settings, **common)
        return SteppedEngine(batcher=older_batcher(self._scheduler, self._settings), **common)


def older_batcher(scheduler: Scheduler, settings: EngineSettings) -> Batcher:
    """Scheduler of an older engine under those limits that it has."""
    if scheduler == "hugging-face":
        return OneAtATime(settings.max_model_len)
    limits = {
        name: getattr(settings, name) for name in ("num_blocks", "block_size", "max_num_seqs", "max_num_batched_tokens")
    }
    if scheduler == "parrot":
        return ParrotBatcher(ParrotSettings(**limits))
    return Vllm2023Batcher(Vllm2023Settings(**limits, max_model_len=settings.max_model_len))


def engine_delays(profile: Profile) -> EngineDelays:
    """Host time between a client and its engine core, from the profile's measured overheads."""
    overheads = profile.overheads
    return EngineDelays(
        receive=overheads.client_to_engine + overheads.call,
        reply=overheads.engine_to_client,
        wake=overheads.idle_wakeup,
        start=overheads.idle_start,
        interval=overheads.submit_interval,
        pause=EMPTY_STEP_SLEEP,
    )
