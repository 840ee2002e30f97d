"""Simulated beside measured: every run of `reproduce.measured_runs`, one row an experiment.

The profile was fitted to a calibration alone, so every row is a prediction. The error is that of the simulation to the
mean of the repeats; the noise, by how much these differ among themselves, is what no simulation can be held to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from analysis.comparison.matching import match_calls
from reproduce.measured_runs import Experiment, card_of, experiments, simulated
from reproduce.run_figures import TIMES, compared, errors_by, mean_absolute_errors, times
from reproduce.tables import frame_table
from sim.profile import Profile
from traces.records import RunRecords, read_run

#: Counts, shown beside each other; a measured count that differs between repeats is shown for each.
COUNTS = ("steps", "preemptions", "cached tokens")


def rows(profile: Profile, folder: str = "measured_*") -> pd.DataFrame:
    """One row an experiment: `run`, `engines`, `calls`, `repeats`, columns of `compared`, and `COUNTS` of both.

    Parameters
    ----------
    profile : Profile
        The runs are those of its model on as many GPUs of its kind.
    folder : str
        As in `reproduce.measured_runs.experiments`.

    Returns
    -------
    pandas.DataFrame
        Seconds, percent and counts. `E2E of a call (%)` is the mean absolute error of single calls, over all repeats.
    """
    return pd.DataFrame([_row(experiment, profile) for experiment in experiments(profile, folder)])


def print_runs(console: Console, found: pd.DataFrame, profile: Profile, *, every_run: bool = True) -> None:
    """Print the rows.

    Parameters
    ----------
    console : rich.console.Console
    found : pandas.DataFrame
        From `rows`.
    profile : Profile
        That `rows` was given.
    every_run : bool
        One table a figure and one a count, with all runs; or the errors by figure alone.
    """
    if every_run:
        for figure in (*TIMES, *COUNTS):
            chosen = found[["run", *(column for column in found.columns if column.startswith(figure))]]
            chosen.columns = [column.removeprefix(figure).strip() for column in chosen.columns]
            console.print(frame_table(chosen, title=figure, digits=3))
    title = f"errors of the simulation, {len(found)} experiments ({int(found['repeats'].sum())} runs)"
    console.print(frame_table(mean_absolute_errors(found), title=title))
    if found["engines"].nunique() > 1:
        console.print(frame_table(errors_by(found, "engines"), title="mean absolute errors by number of engines (%)"))
    console.print(f"E2E latency of single calls: mean absolute error {found['E2E of a call (%)'].mean():.2f}%")
    console.print(
        f"Measured: vLLM 0.24.0, {profile.tensor_parallel} {card_of(profile.measurement.gpu)} for an engine, "
        f"{profile.model.name} shape, {profile.model.dtype}, random weights; mean of the repeats. Simulated: profile "
        f"{profile.name}, fitted to calibration points only: every row is predicted. Noise: highest repeat above the "
        "lowest. The p99 TTFT is shown and not judged: it does not repeat."
    )


def _row(experiment: Experiment, profile: Profile) -> dict[str, Any]:
    records = simulated(experiment, profile)
    repeats = [_finished(directory) for directory in experiment.repeats]
    row: dict[str, Any] = {
        "run": experiment.name,
        "engines": experiment.manifest["num_engines"],
        "calls": len(records.calls),
        "repeats": len(repeats),
    }
    row |= compared(times(records.calls), [times(repeat.calls) for repeat in repeats])
    counts = _counts(records)
    for name in COUNTS:
        row[f"{name} measured"] = _joined([_counts(repeat)[name] for repeat in repeats])
        row[f"{name} simulated"] = counts[name]
    errors = [_mean_error_of_calls(records.calls, repeat.calls) for repeat in repeats]
    return row | {"E2E of a call (%)": sum(errors) / len(errors)}


def _finished(directory: Path) -> RunRecords:
    """A measured run of which every call finished."""
    records = read_run(directory)
    if not (records.manifest["complete"] and (records.calls["status"] == "ok").all()):
        raise ValueError(f"{directory}: not every call finished, so this run cannot be compared")
    return records


def _counts(records: RunRecords) -> dict[str, int]:
    return {
        "steps": int(records.steps["count"].sum()),
        "preemptions": int(records.calls["num_preemptions"].sum()),
        "cached tokens": int(records.calls["num_cached_tokens"].sum()),
    }


def _joined(values: list[int]) -> str:
    """The repeats' values; one when they are equal."""
    return "/".join(map(str, dict.fromkeys(values)))


def _mean_error_of_calls(simulated_calls: pd.DataFrame, measured_calls: pd.DataFrame) -> float:
    """Mean absolute error of the E2E latency of single calls, percent."""
    pairs = match_calls(simulated_calls, measured_calls)
    if len(pairs.unmatched):
        raise ValueError(f"{len(pairs.unmatched)} calls are not in both runs")
    own, other = (each["finished_at"] - each["submitted_at"] for each in (pairs.simulated, pairs.measured))
    return float(100 * (own / other - 1).abs().mean())
