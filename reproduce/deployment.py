"""Runs a workload on a cluster of one of the older engines, through the same coordinator and policies as any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec
import pandas as pd

from policies.coordinator import Coordinator
from policies.engines import EngineState
from policies.fifo import Fifo
from policies.interface import Policy
from sim.clock import Clock
from sim.cluster import Cluster, SimulatedEngine
from sim.fitting.parrot_engines import RELEASE_SECONDS
from sim.frontend import EngineListener
from sim.gate import Gate
from sim.hugging_face import OneAtATime
from sim.parrot_engine import ParrotBatcher, ParrotSettings
from sim.profile import Profile
from sim.stepped import SteppedEngine
from sim.vllm_2023 import Vllm2023Batcher, Vllm2023Settings
from traces.workload import Workload, num_calls

#: Seconds slept once per call at its submission ("Network latency=250ms" in the benchmark notes).
NETWORK_SECONDS = 0.25

EngineMaker = Callable[[int, Profile, Clock, EngineListener], SimulatedEngine]


@dataclass(frozen=True, slots=True)
class System:
    """One row's way of running a workload.

    Parameters
    ----------
    name : str
    profile : str
        Which older engine's profile it runs with: "hf", "vllm-2023" or "parrot".
    make_engine : callable
    orchestration : "client" or "service"
        Who runs the graph, and so how often the network latency is paid.
    network_latency : float, seconds
    submit_interval : float, seconds
        Time between the submissions of an application's first calls.
    bounds : mapping of stage to int, optional
        Upper bounds on resident calls per engine that Parrot's dispatcher keeps; no dispatcher when None.
    num_resident : int
        Most calls resident in an engine, for the closed form.
    shares_prompts : bool
        Whether the engine keeps shared text, for the closed form.
    policy : callable
        Makes the policy of a run.
    """

    name: str
    profile: str
    make_engine: EngineMaker
    orchestration: Literal["client", "service"] = "client"
    network_latency: float = NETWORK_SECONDS
    submit_interval: float = 0.0
    bounds: Mapping[str, int] | None = None
    num_resident: int = 256
    shares_prompts: bool = False
    policy: Callable[[], Policy] = field(default=Fifo)


def hugging_face(engine_id: int, profile: Profile, clock: Clock, listener: EngineListener) -> SimulatedEngine:
    """A Hugging Face worker with a profile's limits and costs."""
    batcher = OneAtATime(profile.engine_defaults.max_model_len)
    return SteppedEngine(engine_id, batcher, profile.step_cost(False), clock, listener)


def vllm_2023(**limits: int) -> EngineMaker:
    """Makes 2023 vLLM engines: a profile's limits, unless given here."""

    def make(engine_id: int, profile: Profile, clock: Clock, listener: EngineListener) -> SimulatedEngine:
        names = ("num_blocks", "block_size", "max_num_seqs", "max_num_batched_tokens", "max_model_len")
        defaults = {name: getattr(profile.engine_defaults, name) for name in names}
        batcher = Vllm2023Batcher(Vllm2023Settings(**{**defaults, **limits}))
        return SteppedEngine(engine_id, batcher, profile.step_cost(False), clock, listener)

    return make


def parrot(**limits: int) -> EngineMaker:
    """Makes Parrot engines: a profile's limits, unless given here."""

    def make(engine_id: int, profile: Profile, clock: Clock, listener: EngineListener) -> SimulatedEngine:
        names = ("num_blocks", "block_size", "max_num_seqs", "max_num_batched_tokens")
        defaults = {name: getattr(profile.engine_defaults, name) for name in names}
        batcher = ParrotBatcher(ParrotSettings(**{**defaults, **limits}))
        return SteppedEngine(engine_id, batcher, profile.step_cost(False), clock, listener)

    return make


def simulate(workload: Workload, system: System, profile: Profile, num_engines: int = 1) -> dict[str, pd.DataFrame]:
    """Calls, steps and decisions of a run (`traces.records`).

    Parameters
    ----------
    workload : Workload
    system : System
    profile : Profile
        Of every engine.
    num_engines : int
    """
    clock = Clock()
    limits = msgspec.structs.asdict(profile.engine_defaults)
    known = {name: limits[name] for name in ("num_blocks", "block_size", "max_num_seqs")}
    coordinator = Coordinator(
        workload,
        system.policy(),
        [EngineState(engine_id, **known) for engine_id in range(num_engines)],
        orchestration=system.orchestration,
        network_latency=_latencies(workload, system),
    )

    def engine(engine_id: int, cluster: Cluster) -> SimulatedEngine:
        if system.bounds is None:
            return system.make_engine(engine_id, profile, clock, cluster)

        def behind(gate: EngineListener) -> SimulatedEngine:
            return system.make_engine(engine_id, profile, clock, gate)

        return Gate(behind, system.bounds, clock, cluster, release=RELEASE_SECONDS)

    cluster = Cluster(clock, coordinator, lambda it: [engine(engine_id, it) for engine_id in range(num_engines)])
    cluster.run()
    return cluster.frames()


def _latencies(workload: Workload, system: System) -> list[float]:
    """Network latency of each call, seconds; first calls are submitted one after another."""
    if not system.submit_interval:
        return [system.network_latency] * num_calls(workload)
    latencies = []
    for application in workload.applications:
        num_roots = 0
        for call in application.calls:
            latencies.append(system.network_latency + num_roots * system.submit_interval)
            num_roots += not call.deps
    return latencies
