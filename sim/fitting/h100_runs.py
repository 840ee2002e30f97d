"""Steps and delays of the runs that were measured on one H100 (`measured_h100_13b` of the data collection).

Kernel-table profiles take their client and engine overheads from them, and their method is checked against the steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from sim.fitting.output import residual, rounded
from sim.fitting.timelines import StepPoint, load_runs, stretches_of_run, windows
from sim.profile import Overheads, Residual
from sim.step_cost import StepCost

_TOKEN_BUDGET = 2048  # max_num_batched_tokens of the measured runs


def measured_windows(folder: Path, scenario: str) -> list[list[StepPoint]]:
    """Windows of consecutive steps of the measured runs."""
    return [
        window
        for run in load_runs(folder, scenario)
        for window in windows(stretches_of_run(run, scenario, _TOKEN_BUDGET))
    ]


def window_residual(points: str, measured: Sequence[Sequence[StepPoint]], cost: StepCost) -> Residual:
    """Relative error of the summed duration of each window's steps, none of them fitted."""
    predicted = [
        sum(cost.step(step.num_decodes, step.num_context_tokens, step.prefills) for step in window)
        for window in measured
    ]
    return residual(points, predicted, [sum(step.seconds for step in window) for window in measured], fitted=False)


def measured_overheads(folder: Path) -> Overheads:
    """Medians over calls of the measured runs; what each is stands in `sim.profile.Overheads`."""
    chain = [row for run in load_runs(folder, "chain_lat0") for row in run["rows"]]
    bursts = [run["rows"] for run in load_runs(folder, "burst128")]
    maps = [[row for row in run["rows"] if row["stage"] == "map"] for run in load_runs(folder, "mr15_w2")]
    # Two calls in flight: both are sent within a millisecond; where the second missed the first schedule, the gap is
    # the time the engine core did not look at its queue.
    gaps = [b["scheduled"] - a["scheduled"] for run in maps for a, b in pairwise(run)]
    return Overheads(
        client_to_engine=rounded(float(np.median([row["queued"] - row["dispatch"] for row in chain]))),
        engine_to_client=rounded(float(np.median([row["finish"] - row["last_core"] for row in chain]))),
        submit_interval=rounded(float(np.median(np.diff([row["submit"] for row in bursts[0]])))),
        idle_wakeup=rounded(float(np.median([gap for gap in gaps if 0.005 < gap < 0.05]))),
    )
