"""Measure a workload: from engines, a policy and a gateway to the records of a run, the same as a simulation's."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from policies.gateway import Gateway
from policies.interface import Policy, PolicyError
from realexec.assembly import calls_frame, steps_frame
from realexec.attempts import FaultHandling
from realexec.driver import Driver
from realexec.interface import EngineBackend, EngineFailure, EngineInfo
from realexec.progress import RunInProgress
from realexec.requests import RequestMaker
from realexec.shutdown import stop_all
from realexec.token_ids import TokenIds
from traces.fit import check_fit
from traces.manifest import base_manifest
from traces.records import RunRecords
from traces.workload import Workload


@dataclass(frozen=True, slots=True)
class RealCluster:
    """Real engines and how to treat them.

    Parameters
    ----------
    backends : sequence of EngineBackend
        Not started; number `i` has id `i`.
    handling : FaultHandling
    token_ids : TokenIds
        Its vocabulary must be the engines' model's, or smaller.

    Raises
    ------
    ValueError
        When there is no engine, or ids are not 0, 1, ...
    """

    backends: Sequence[EngineBackend]
    handling: FaultHandling = FaultHandling()
    token_ids: TokenIds = TokenIds()

    def __post_init__(self) -> None:
        if not self.backends:
            raise ValueError("backends=[] must name at least one engine")
        ids = [backend.engine_id for backend in self.backends]
        if ids != list(range(len(ids))):
            raise ValueError(f"backends: engine ids {ids} must be 0 to {len(ids) - 1}, in order")


async def measure(
    workload: Workload,
    policy: Policy,
    cluster: RealCluster,
    gateway: Gateway = Gateway(),
    on_start: Callable[[RunInProgress], None] | None = None,
) -> RunRecords:
    """Run a workload on real engines; they are started first and always stopped.

    Parameters
    ----------
    workload : Workload
        Valid (`traces.validation`).
    policy : Policy
        Fresh.
    cluster : RealCluster
    gateway : Gateway
    on_start : callable, optional
        Given the run to look at, once its engines are up.

    Returns
    -------
    RunRecords
        What happened, whatever happened: once the engines are up, faults and the policy's mistakes are in the manifest
        (`complete`, `faults`, `error`) and in the status of each call. A cancellation ends the run early in the same
        way and is then taken for dealt with.

    Raises
    ------
    EngineFailure
        When an engine does not come up; one line that names it and the cause.
    ValueError
        When a call can never fit an engine.
    """
    manifest = base_manifest(workload)
    try:
        infos = await _start(cluster.backends)
        for engine_id, info in enumerate(infos):
            check_fit(workload, info, source=f"workload {workload.name!r}, engine {engine_id}")
        coordinator = gateway.coordinator(workload, policy, infos)
        # An endpoint that does not tell how it orders its queue gets labels too: vLLM ignores them under "fcfs".
        ordered = any(info.settings.get("scheduling_policy") != "fcfs" for info in infos)
        requests = RequestMaker(coordinator.applications, cluster.token_ids, ordered=ordered)
        driver = Driver(coordinator, cluster.backends, requests, cluster.handling)
        if on_start is not None:
            on_start(RunInProgress(coordinator, driver.notes, cluster.backends, infos))
        defect = await _drive(driver)
    finally:
        left = await stop_all(cluster.backends)
    records = [backend.records() for backend in cluster.backends]
    manifest |= {
        "backend": "real",
        "complete": not coordinator.failures,
        "error": next((fault.reason for fault in driver.notes.faults if fault.kind == "run stopped"), None),
        "policy": {"class": f"{type(policy).__module__}:{type(policy).__qualname__}"},
        "traceback": defect,
        "faults": [asdict(fault) for fault in driver.notes.faults],
        "fault_handling": asdict(cluster.handling),
        "token_ids": asdict(cluster.token_ids),
        "warnings": [*_warnings(requests), *left],
        **_described(infos),
        **gateway.described(),
    }
    return RunRecords(
        manifest,
        calls_frame(coordinator, driver.notes, records, driver.started_at),
        steps_frame(records, driver.started_at),
        coordinator.decisions.frame(coordinator.calls),
    )


async def _start(backends: Sequence[EngineBackend]) -> list[EngineInfo]:
    """Start all engines side by side; the first failure cancels the other starts."""
    try:
        async with asyncio.TaskGroup() as group:
            starts = [group.create_task(_start_one(backend)) for backend in backends]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [start.result() for start in starts]


async def _start_one(backend: EngineBackend) -> EngineInfo:
    try:
        return await backend.start()
    except EngineFailure as error:
        raise EngineFailure(f"engine {backend.engine_id} did not start: {error}") from error


async def _drive(driver: Driver) -> str | None:
    """Run to the end. What stopped the run as a whole is in the driver's notes; of a defect, the traceback is returned.

    Whatever it was, what the engines have done by then is not to be lost.
    """
    try:
        await driver.run()
    except PolicyError:
        return None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
    except Exception:
        return traceback.format_exc()
    return None


def _described(infos: Sequence[EngineInfo]) -> dict[str, Any]:
    """Engines as the manifest shows them: settings as the engines resolved them, once where all agree."""
    return {
        "num_engines": len(infos),
        "engine_settings": _once([_settings(info) for info in infos]),
        "devices": [info.device for info in infos],
        "engine_versions": _once([dict(info.versions) for info in infos]),
    }


def _once(values: list[dict[str, Any]]) -> dict[str, Any] | list[dict[str, Any]]:
    """The value that all engines share, else all of them, by engine."""
    return values[0] if all(value == values[0] for value in values) else values


def _settings(info: EngineInfo) -> dict[str, Any]:
    limits = {name: getattr(info, name) for name in ("num_blocks", "block_size", "max_num_seqs", "max_model_len")}
    return {**info.settings, **limits}


def _warnings(requests: RequestMaker) -> list[str]:
    warnings = []
    if requests.num_repeated_outputs:
        warnings.append(
            f"{requests.num_repeated_outputs} outputs that later prompts contain were equal to those of other "
            "applications; they may hit the prefix cache where real text would not"
        )
    if requests.labels.num_shared:
        warnings.append(f"{requests.labels.num_shared} ranks had to share the order label of a lower rank")
    return warnings
