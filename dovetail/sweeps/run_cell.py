"""Run one cell: the only thing that the processes of a sweep do, wherever they are."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from typing import Any

from analysis.rounds import Deployment, StepCost
from analysis.statistics.replication import replication
from dovetail.closed_form import deployment_of
from dovetail.setting import composed, engine_settings, gateway, load_policies
from dovetail.sweeps.cell import Cell, parse_words
from dovetail.sweeps.workload import Prepared, deadlines_of, prepare
from policies.gateway import Gateway
from sim.profile import load_profile
from sim.run import SimulatedCluster, simulate
from traces.records import RunRecords
from traces.workload import Workload


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a cell came to.

    Parameters
    ----------
    result : dict
        Its row: `status` "ok", "failed" or "lost", `error`, `warnings`, and figures. The same wherever the cell ran,
        unless it was lost.
    ran : dict
        `node`, `process` and `seconds`: where it ran and for how long.
    workload : Workload or None
        As far as it is to be kept.
    records : RunRecords or None
        As far as they are to be kept.
    """

    result: dict[str, Any]
    ran: dict[str, Any]
    workload: Workload | None = None
    records: RunRecords | None = None


def run_cell(cell: Cell, keep_records: bool = False) -> Outcome:
    """Simulate a cell and measure it; whatever goes wrong is its result."""
    started = time.perf_counter()
    try:
        result, workload, records = _simulated(cell)
    except Exception as error:  # a policy may raise anything, and the other cells should run
        return Outcome(_no_result("failed", f"{type(error).__name__}: {error}"), where(time.perf_counter() - started))
    ran = where(time.perf_counter() - started)
    return Outcome(result, ran, workload, records) if keep_records else Outcome(result, ran)


def lost(error: str) -> Outcome:
    """The outcome of a cell whose process or machine was lost: it may go better the next time."""
    return Outcome(_no_result("lost", error), where(0.0))


def _no_result(status: str, error: str) -> dict[str, Any]:
    return {"status": status, "error": " ".join(error.split()), "warnings": ""}


def where(seconds: float) -> dict[str, Any]:
    """This process, for the record of who did the work."""
    return {"node": socket.gethostname(), "process": os.getpid(), "seconds": seconds}


def _simulated(cell: Cell) -> tuple[dict[str, Any], Workload, RunRecords]:
    options = parse_words(cell.words, cell.seed)
    profile = load_profile(options["profile"])
    cluster = SimulatedCluster(profile, options["num_engines"], engine_settings(profile, options))
    entry = gateway(options)
    prepared = prepare(cell.source, cell.arrivals, cell.seed, lambda workload: _closed_form(workload, cluster, entry))
    workload = prepared.workload
    policy = composed(load_policies(options), workload, source="the workload")
    records = simulate(workload, policy.policy, cluster, entry)
    return _row(cell, prepared, cluster, entry, records), workload, records


def _closed_form(workload: Workload, cluster: SimulatedCluster, entry: Gateway) -> tuple[StepCost, Deployment]:
    """The cluster as lower bounds know it, for any policy."""
    cost = cluster.profile.step_cost(cluster.settings.async_scheduling)
    return cost, deployment_of(workload, cluster, entry, {})


def _row(
    cell: Cell, prepared: Prepared, cluster: SimulatedCluster, entry: Gateway, records: RunRecords
) -> dict[str, Any]:
    figures = replication(
        records.calls,
        records.steps,
        alone=prepared.alone,
        deadlines=deadlines_of(prepared.workload),
        warmup=cell.warmup,
    )
    bounds = prepared.work / cluster.num_engines + entry.network_latency.mean
    return {
        "status": "ok",
        "error": "",
        "warnings": "; ".join(records.manifest["warnings"]),
        "load": prepared.load(cluster.num_engines),
        "makespan_bound": max(bounds, prepared.critical_path_makespan),
        **figures,
    }
