"""Simulate a workload: from a profile, a policy and a few settings to the records of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from policies.gateway import Gateway
from policies.interface import Policy
from sim.clock import Clock
from sim.cluster import Cluster, SimulatedEngine
from sim.engines import EngineMaker
from sim.manifest import domain_warnings
from sim.profile import Profile
from sim.settings import EngineSettings
from sim.vllm_version import require_vllm
from traces.fit import check_fit
from traces.manifest import base_manifest
from traces.records import RunRecords
from traces.workload import Workload


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


def _wire(workload: Workload, policy: Policy, cluster: SimulatedCluster, gateway: Gateway) -> Cluster:
    clock = Clock()
    coordinator = gateway.coordinator(workload, policy, [cluster.settings] * cluster.num_engines)
    maker = EngineMaker(cluster.profile, cluster.settings, skip=cluster.skip, reference=cluster.reference)

    def make_engines(listener: Cluster) -> list[SimulatedEngine]:
        return [maker.make(engine_id, clock, listener) for engine_id in range(cluster.num_engines)]

    return Cluster(clock, coordinator, make_engines)


def _described(cluster: SimulatedCluster, gateway: Gateway) -> dict[str, Any]:
    """Cluster and gateway as the manifest shows them."""
    settings = {name: getattr(cluster.settings, name) for name in cluster.settings.__slots__}
    return {
        "num_engines": cluster.num_engines,
        "engine_settings": settings,
        "profile": cluster.profile.name,
        "profile_of": _measured_on(cluster.profile),
        "engine": f"vllm {require_vllm()}" if cluster.reference else "native",
        "scheduler": cluster.profile.scheduler,
        "step_by_step": cluster.reference or not cluster.skip,
    } | gateway.described()


def _measured_on(profile: Profile) -> dict[str, str]:
    """What the step costs were measured on."""
    measured = profile.measurement
    engine = f"{measured.engine} {measured.engine_version}"
    return {"gpu": measured.gpu, "model": profile.model.name, "engine": engine}
