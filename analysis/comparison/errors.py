"""Errors of a simulation: latency of calls, completion time of applications, makespan, with confidence intervals.

Error = simulated / measured - 1, of the mean and of each percentile. Beside it stands the mean absolute error of single
calls, which does not let one call's error make up for another's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from analysis import metrics
from analysis.comparison.intervals import QUANTILES, Resampling, resampled_means, resampled_quantiles, resampling
from analysis.comparison.matching import Matched
from analysis.stages import largest_stages
from analysis.summary import ALL_STAGES

#: Metrics of a call, in the order of tables.
CALL_ERRORS = ("ttft", "tpot", "e2e")

#: Columns of the error table, after `stage` and `metric`: a row for the mean and for each percentile.
ERROR_COLUMNS = ("statistic", "num", "simulated", "measured", "error", "low", "high")

STATISTICS = ("mean", *(f"p{100 * share:.0f}" for share in QUANTILES))

#: Stages that get rows of their own: those with the most calls.
MAX_STAGES = 20


def call_seconds(matched: Matched) -> pd.DataFrame:
    """One row a matched call: `app`, `call`, `stage`, and each of `CALL_ERRORS` simulated and measured, in seconds."""
    columns: dict[str, Any] = {name: matched.simulated[name] for name in ("app", "call", "stage")}
    compute = {"ttft": metrics.ttft, "tpot": metrics.tpot, "e2e": metrics.e2e}
    for metric in CALL_ERRORS:
        columns[f"{metric}_simulated"] = compute[metric](matched.simulated)
        columns[f"{metric}_measured"] = compute[metric](matched.measured)
    return pd.DataFrame(columns)


def error_table(matched: Matched, split: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Errors of the mean and of percentiles: of all calls, of applications, of each stage.

    Parameters
    ----------
    matched : Matched
    split : pandas.DataFrame
        One row a completed application, of `analysis.comparison.split.error_split`.
    rng : numpy.random.Generator
        Of the intervals.

    Returns
    -------
    pandas.DataFrame
        `stage`, `metric`, then `ERROR_COLUMNS`: seconds, and the relative error with its 95% interval. Rows of metric
        "jct" are of stage `ALL_STAGES`. `absolute` is the mean absolute relative error of single calls or applications,
        in the rows of the mean alone.
    """
    seconds = call_seconds(matched)
    resample = resampling(_by_arrival(matched), rng)
    rows: list[dict[str, Any]] = []
    for metric in CALL_ERRORS:
        rows += _rows(seconds[f"{metric}_simulated"], seconds[f"{metric}_measured"], resample, ALL_STAGES, metric)
    if len(split):
        alone = resampling(np.arange(len(split)), rng)
        rows += _rows(split["jct_simulated"] / 1e9, split["jct_measured"] / 1e9, alone, ALL_STAGES, "jct")
    stages = largest_stages(seconds["stage"], MAX_STAGES)
    for stage in stages if len(stages) > 1 else ():  # the only stage has the rows of all calls
        own = (seconds["stage"] == stage).to_numpy()
        part, drawn = seconds[own], resample.of(own)
        for metric in CALL_ERRORS:
            rows += _rows(part[f"{metric}_simulated"], part[f"{metric}_measured"], drawn, stage, metric)
    return pd.DataFrame(rows, columns=["stage", "metric", *ERROR_COLUMNS, "absolute"])


def makespans(matched: Matched) -> dict[str, float]:
    """Makespan of the matched calls in both runs, seconds, and its relative error."""
    simulated, measured = metrics.makespan(matched.simulated), metrics.makespan(matched.measured)
    return {"simulated": simulated, "measured": measured, "error": simulated / measured - 1}


def _by_arrival(matched: Matched) -> np.ndarray:
    """Application of each row, numbered by arrival in the measured run."""
    arrived_at = matched.measured.groupby("app_code")["app_arrived_at"].min()
    number = np.empty(len(arrived_at), dtype=np.int64)
    number[arrived_at.sort_values(kind="stable").index] = np.arange(len(arrived_at))
    numbers: np.ndarray = number[matched.measured["app_code"].to_numpy()]
    return numbers


def _rows(
    simulated: pd.Series, measured: pd.Series, resample: Resampling, stage: str, metric: str
) -> list[dict[str, Any]]:
    """Rows of one metric: the mean, then the percentiles."""
    both = (simulated.notna() & measured.notna()).to_numpy()
    pair = [simulated.to_numpy(float)[both], measured.to_numpy(float)[both]]
    if not both.any():
        return []
    drawn = resample.of(both)
    points = [np.array([values.mean(), *np.quantile(values, QUANTILES)]) for values in pair]
    resamples = [
        np.column_stack([resampled_means(values, drawn), resampled_quantiles(values, drawn)]) for values in pair
    ]
    with np.errstate(divide="ignore", invalid="ignore"):  # a latency of 0 has no relative error
        errors, spread = points[0] / points[1] - 1, resamples[0] / resamples[1] - 1
        absolute = np.abs(pair[0] / pair[1] - 1)
    rows = []
    for index, name in enumerate(STATISTICS):
        low, high = drawn.interval(spread[:, index])
        values = (name, len(pair[0]), points[0][index], points[1][index], errors[index], low, high)
        row = {"stage": stage, "metric": metric, **dict(zip(ERROR_COLUMNS, values, strict=True))}
        rows.append(row | {"absolute": float(absolute[np.isfinite(absolute)].mean()) if not index else np.nan})
    return rows
