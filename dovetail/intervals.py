"""How far the figures of a simulation move within what the profile's fit left uncertain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from policies.gateway import Gateway
    from policies.load import LoadedPolicy
    from sim.profile import Profile
    from sim.run import SimulatedCluster
    from traces.records import RunRecords
    from traces.workload import Workload

#: Percentiles of the interval that is printed.
_LOW, _HIGH = 5, 95


def rerun(
    workload: Workload,
    load_policies: Callable[[], list[LoadedPolicy]],
    cluster: SimulatedCluster,
    gateway: Gateway,
    profiles: Sequence[Profile],
) -> Iterator[RunRecords]:
    """The same simulation with other step costs; every run has a fresh policy."""
    from dovetail.setting import composed
    from sim.run import simulate

    for profile in profiles:
        policy = composed(load_policies(), workload, source=workload.name)
        yield simulate(workload, policy.policy, replace(cluster, profile=profile), gateway)


def headline(records: RunRecords) -> dict[str, float]:
    """Makespan and latencies of a run, in seconds; of the calls that finished."""
    calls = records.calls[records.calls["status"] == "ok"]
    latency = calls["finished_at"] - calls["submitted_at"]
    figures = {"makespan": calls["finished_at"].max() - calls["app_arrived_at"].min(), "mean E2E": latency.mean()}
    figures |= {f"p{level} E2E": np.percentile(latency, level) for level in (50, 95, 99)}
    figures["mean TTFT"] = (calls["first_token_at"] - calls["submitted_at"]).mean()
    return {name: float(value) for name, value in figures.items()}


def intervals(records: RunRecords, drawn: Iterator[RunRecords]) -> pd.DataFrame:
    """One row a figure: its value with the fitted terms, and percentiles 5 and 95 over the draws, in seconds."""
    values = pd.DataFrame([headline(each) for each in drawn])
    return pd.DataFrame(
        {
            "figure": list(values.columns),
            "value": list(headline(records).values()),
            "low": np.percentile(values, _LOW, axis=0),
            "high": np.percentile(values, _HIGH, axis=0),
        }
    )


def print_intervals(frame: pd.DataFrame) -> None:
    """Print intervals as a table."""
    from rich.table import Table

    from dovetail.output import console

    table = Table("figure", box=None, title="Within the uncertainty of the fitted step costs", title_justify="left")
    for title in ("value (s)", f"p{_LOW} (s)", f"p{_HIGH} (s)"):
        table.add_column(title, justify="right")
    for row in frame.itertuples():
        table.add_row(row.figure, *(f"{value:.3f}" for value in (row.value, row.low, row.high)))
    console().print(table)
