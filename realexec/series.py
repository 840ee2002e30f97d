"""Several runs in turn on the same engines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from policies.gateway import Gateway
from policies.interface import Policy
from realexec.attempts import FaultHandling
from realexec.kept import KeptEngine, ResettableBackend, release_all
from realexec.run import RealCluster, measure
from traces.records import RunRecords
from traces.workload import Workload


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a series.

    Parameters
    ----------
    workload : Workload
        Valid (`traces.validation`).
    policy : Policy
        Fresh.
    gateway : Gateway
    on_done : callable
        Given the records as soon as the run has ended.
    """

    workload: Workload
    policy: Policy
    gateway: Gateway
    on_done: Callable[[RunRecords], None]


async def measure_series(
    backends: Sequence[ResettableBackend], jobs: Iterable[Job], handling: FaultHandling = FaultHandling()
) -> bool:
    """Start engines, run every job on them with empty prefix caches, and stop them.

    Returns
    -------
    bool
        Whether every job was complete. The series ends with the first that was not: its engines may be lost.

    Raises
    ------
    EngineFailure
        When an engine does not come up.
    ValueError
        When a call can never fit an engine.
    """
    engines = [KeptEngine(backend) for backend in backends]
    cluster = RealCluster(engines, handling)
    try:
        for job in jobs:
            records = await measure(job.workload, job.policy, cluster, job.gateway)
            job.on_done(records)
            if not records.manifest["complete"]:
                return False
    finally:
        await release_all(engines)
    return True
