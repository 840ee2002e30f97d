"""The figures of a run that are held against a measurement, and how far a simulation is from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

#: Seconds; each is compared as an error in percent.
TIMES = (
    "makespan (s)",
    "mean E2E (s)",
    "p50 E2E (s)",
    "p95 E2E (s)",
    "p99 E2E (s)",
    "mean TTFT (s)",
    "p99 TTFT (s)",
    "mean JCT (s)",
    "p95 JCT (s)",
)

#: What `errors_by` shows of each group.
_BY_GROUP = ("makespan", "mean E2E", "p99 E2E", "mean TTFT")


def times(calls: pd.DataFrame) -> dict[str, float]:
    """The figures of `TIMES`.

    Parameters
    ----------
    calls : pandas.DataFrame
        Columns `app`, `app_arrived_at`, `submitted_at`, `first_token_at` and `finished_at`, a row a call, all done.

    Notes
    -----
    Makespan is the last finish after the first arrival, E2E latency finish - submission, TTFT first token - submission,
    JCT an application's last finish - its arrival.
    """
    e2e = calls["finished_at"] - calls["submitted_at"]
    ttft = calls["first_token_at"] - calls["submitted_at"]
    by_app = calls.groupby("app", sort=False)
    jct = by_app["finished_at"].max() - by_app["app_arrived_at"].first()
    p50, p95, p99 = np.percentile(e2e, [50, 95, 99])
    return {
        "makespan (s)": float(calls["finished_at"].max() - calls["app_arrived_at"].min()),
        "mean E2E (s)": float(e2e.mean()),
        "p50 E2E (s)": float(p50),
        "p95 E2E (s)": float(p95),
        "p99 E2E (s)": float(p99),
        "mean TTFT (s)": float(ttft.mean()),
        "p99 TTFT (s)": float(np.percentile(ttft, 99)),
        "mean JCT (s)": float(jct.mean()),
        "p95 JCT (s)": float(np.percentile(jct, 95)),
    }


def compared(simulated: dict[str, float], measured: Sequence[dict[str, float]]) -> dict[str, float]:
    """Columns of one run: for each figure the mean of its repeats, the simulation, its error, and the noise.

    Parameters
    ----------
    simulated : dict of str to float
        From `times`.
    measured : list of dict
        The same of every repeat.

    Returns
    -------
    dict of str to float
        `FIGURE measured`, `FIGURE simulated`, `FIGURE error (%)` of the simulation to the mean of the repeats, and
        `FIGURE noise (%)`, by which the highest repeat is above the lowest; NaN of one repeat.
    """
    row: dict[str, float] = {}
    for figure, value in simulated.items():
        repeats = [each[figure] for each in measured]
        mean = float(np.mean(repeats))
        row |= {
            f"{figure} measured": mean,
            f"{figure} simulated": value,
            f"{figure} error (%)": 100 * (value / mean - 1),
            f"{figure} noise (%)": 100 * (max(repeats) / min(repeats) - 1) if len(repeats) > 1 else float("nan"),
        }
    return row


def mean_absolute_errors(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and largest absolute error of each figure over all runs, mean noise, and runs off by more than 5%.

    Parameters
    ----------
    rows : pandas.DataFrame
        Columns of `compared`, and `run`.

    Returns
    -------
    pandas.DataFrame
        One row a figure, percent; `noise` is the mean over the runs that were repeated.
    """
    found = []
    for figure in TIMES:
        errors = rows[f"{figure} error (%)"].abs()
        worst = errors.idxmax()
        found.append(
            {
                "figure": figure.removesuffix(" (s)"),
                "mean absolute error (%)": float(errors.mean()),
                "largest (%)": float(errors[worst]),
                "in": str(rows.loc[worst, "run"]),
                "runs above 5%": int((errors > 5).sum()),
                "noise of repeats (%)": float(rows[f"{figure} noise (%)"].mean()),
            }
        )
    return pd.DataFrame(found)


def errors_by(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean absolute errors of some figures, percent, for each value of a column.

    Parameters
    ----------
    rows : pandas.DataFrame
        Columns of `compared`, `run`, and `column`.
    column : str
        Whose values make the groups.

    Returns
    -------
    pandas.DataFrame
        `column`, `experiments`, and the figures of `_BY_GROUP`, percent.
    """
    found = []
    for value, group in rows.groupby(column):
        means = mean_absolute_errors(group).set_index("figure")["mean absolute error (%)"]
        found.append({column: value, "experiments": len(group), **means[list(_BY_GROUP)]})
    return pd.DataFrame(found)
