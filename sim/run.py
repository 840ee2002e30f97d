"""Simulate a workload: from a profile, a policy and a few settings to the records of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from policies.coordinator import Coordinator, Orchestration
from policies.engines import EngineState
from policies.interface import Policy
from sim.clock import Clock
from sim.cluster import Cluster, SimulatedEngine
from sim.engines import EngineMaker
from sim.manifest import base_manifest, domain_warnings
from sim.network import NetworkLatency
from sim.profile import Profile
from sim.reference.version import require_vllm
from sim.settings import EngineSettings
from traces.records import RunRecords
from traces.workload import Workload, num_calls, num_prompt_tokens

#: Keeps the network's random stream apart from those of policies, which seed theirs with the bare number.
_NETWORK_STREAM = 1


@dataclass(frozen=True, slots=True)
class SimulatedCluster:
    """Equal engines of one profile.

    Parameters
    ----------
    profile : Profile
        Duration of steps and host overheads.
    num_engines : int
    settings : EngineSettings
        Limits of each engine; `settings_of` takes them from the profile.
    skip : bool
        Jump over the steps at which nothing can change. The records are the same either way.
    reference : bool
        Run vLLM's own scheduler instead of the native one (`sim.reference`): slower, with the same records.

    Raises
    ------
    ValueError
        When there is no engine.
    """

    profile: Profile
    num_engines: int
    settings: EngineSettings
    skip: bool = True
    reference: bool = False

    def __post_init__(self) -> None:
        if self.num_engines < 1:
            raise ValueError(f"num_engines={self.num_engines} must be positive")


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where calls come from and how they are handed to engines.

    Parameters
    ----------
    window : int
        Most calls the coordinator keeps at one engine; 0 = no limit.
    orchestration : "client" or "service"
        Who runs the graph: a client pays the network latency before every call, a service once per application.
    network_latency : NetworkLatency
    view_staleness : float, seconds
        Age up to which policies see old engine views.
    seed : int
        Of the network latency. Policies that draw have seeds of their own.

    Raises
    ------
    ValueError
        When a value is out of range; the message names it.
    """

    window: int = 0
    orchestration: Orchestration = "client"
    network_latency: NetworkLatency = field(default_factory=NetworkLatency)
    view_staleness: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("window", "view_staleness", "seed"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name}={getattr(self, name)} must be finite and not negative")
        if self.orchestration not in ("client", "service"):
            raise ValueError(f"orchestration={self.orchestration!r} must be 'client' or 'service'")


def settings_of(profile: Profile, **limits: Any) -> EngineSettings:
    """Engine limits of a profile, with some replaced.

    Parameters
    ----------
    profile : Profile
    **limits
        Fields of `EngineSettings`; None keeps the profile's, or else vLLM's, value.

    Notes
    -----
    Another `block_size` alone divides the same KV memory differently, so `num_blocks` follows it.
    """
    defaults = profile.engine_defaults
    values: dict[str, Any] = {
        name: getattr(defaults, name)
        for name in ("num_blocks", "block_size", "max_model_len", "max_num_seqs", "max_num_batched_tokens")
    }
    given = {name: value for name, value in limits.items() if value is not None}
    if given.get("block_size", 0) > 0 and "num_blocks" not in given:
        values["num_blocks"] = defaults.num_blocks * defaults.block_size // given["block_size"]
    return EngineSettings(**{**values, **given})


def simulate(
    workload: Workload,
    policy: Policy,
    cluster: SimulatedCluster,
    gateway: Gateway = Gateway(),
    on_progress: Callable[[int], None] | None = None,
) -> RunRecords:
    """Run a workload on simulated engines.

    Parameters
    ----------
    workload : Workload
        Valid (`traces.validation`).
    policy : Policy
        Fresh: a policy that learned or drew in an earlier run gives other records.
    cluster : SimulatedCluster
    gateway : Gateway
    on_progress : callable, optional
        Told the number of finished calls, now and then.

    Returns
    -------
    RunRecords
        Equal arguments give equal records; only `started_at` of the manifest differs. After Ctrl-C, what was done so
        far, and `complete` is False in the manifest.

    Raises
    ------
    ValueError
        When a call can never fit an engine, or the policy breaks its contract.
    """
    check_fit(workload, cluster.settings, source=f"workload {workload.name!r}")
    manifest = base_manifest(workload)
    run = _wire(workload, policy, cluster, gateway)
    complete = True
    try:
        run.run(on_progress)
    except KeyboardInterrupt:
        complete = False
    frames = run.frames()
    manifest |= {
        "backend": "sim",
        "complete": complete,
        "policy": {"class": f"{type(policy).__module__}:{type(policy).__qualname__}"},
        **_described(cluster, gateway),
        "warnings": domain_warnings(cluster.profile, frames["steps"]),
    }
    return RunRecords(manifest, **frames)


def check_fit(workload: Workload, settings: EngineSettings, *, source: str) -> None:
    """Refuse a workload with a call that no engine of these settings could ever finish.

    Parameters
    ----------
    workload : Workload
    settings : EngineSettings
    source : str
        File name, or what made the workload; opens the message.

    Raises
    ------
    ValueError
        One line: source, application, call, field, value and rule.
    """
    # The last output token is sampled but never computed, so it needs no KV memory.
    capacity = settings.num_usable_blocks * settings.block_size + 1
    for application in workload.applications:
        outputs = {call.id: call.output_tokens for call in application.calls}
        for call in application.calls:
            num_prompt = num_prompt_tokens(call, outputs)
            num_tokens = num_prompt + call.output_tokens
            if num_tokens > min(settings.max_model_len, capacity):
                rule = (
                    f"max_model_len={settings.max_model_len}"
                    if num_tokens > settings.max_model_len
                    else f"the {capacity - 1} tokens of KV memory (num_blocks={settings.num_blocks}, one of them "
                    f"vLLM's null block, of block_size={settings.block_size})"
                )
                raise ValueError(
                    f"{source}: application {application.id!r}, call {call.id!r}: prompt of {num_prompt} tokens plus "
                    f"output_tokens={call.output_tokens} must not exceed {rule}"
                )


def _wire(workload: Workload, policy: Policy, cluster: SimulatedCluster, gateway: Gateway) -> Cluster:
    settings, clock = cluster.settings, Clock()
    states = [
        EngineState(
            engine_id,
            num_blocks=settings.num_blocks,
            block_size=settings.block_size,
            max_num_seqs=settings.max_num_seqs,
            window=gateway.window,
        )
        for engine_id in range(cluster.num_engines)
    ]
    rng = np.random.default_rng((gateway.seed, _NETWORK_STREAM))
    coordinator = Coordinator(
        workload,
        policy,
        states,
        orchestration=gateway.orchestration,
        network_latency=gateway.network_latency.draw(num_calls(workload), rng).tolist(),
        view_staleness=gateway.view_staleness,
    )
    maker = EngineMaker(cluster.profile, settings, skip=cluster.skip, reference=cluster.reference)

    def make_engines(listener: Cluster) -> list[SimulatedEngine]:
        return [maker.make(state.engine_id, clock, listener) for state in states]

    return Cluster(clock, coordinator, make_engines)


def _described(cluster: SimulatedCluster, gateway: Gateway) -> dict[str, Any]:
    """Cluster and gateway as the manifest shows them."""
    settings = {name: getattr(cluster.settings, name) for name in cluster.settings.__slots__}
    return {
        "num_engines": cluster.num_engines,
        "engine_settings": settings,
        "profile": cluster.profile.name,
        "engine": f"vllm {require_vllm()}" if cluster.reference else "native",
        "scheduler": cluster.profile.scheduler,
        "step_by_step": cluster.reference or not cluster.skip,
        "window": gateway.window,
        "orchestration": gateway.orchestration,
        "network_latency": str(gateway.network_latency),
        "view_staleness": gateway.view_staleness,
        "seeds": {"network": gateway.seed},
    }
