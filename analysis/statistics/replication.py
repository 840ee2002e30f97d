"""One run of a sweep in one row: what is averaged over seeds later, after the warm-up is cut off.

Latencies and completion times are those of the applications that arrive after the warm-up; throughput, cache hits and
preemptions are of the whole run, as in `analysis.summary`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis import metrics
from analysis.statistics.fairness import jain_index, slowdowns
from analysis.statistics.goodput import deadlines_met, goodput
from analysis.statistics.little import little_gap
from analysis.statistics.saturation import growth
from analysis.statistics.warmup import after_warmup, mser5
from analysis.summary import busy_time

#: Where the distribution of completion times is kept, for pictures of it.
QUANTILES = np.linspace(0, 1, 51)


def replication(
    calls: pd.DataFrame,
    steps: pd.DataFrame,
    *,
    alone: Mapping[str, float],
    deadlines: Mapping[str, float],
    warmup: float,
) -> dict[str, Any]:
    """Figures of one run.

    Parameters
    ----------
    calls, steps : pandas.DataFrame
        Columns `traces.records.CALL_COLUMNS` and `STEP_COLUMNS`.
    alone : mapping of application id to float, seconds
        Lower bound of each completion time (`analysis.bounds`).
    deadlines : mapping of application id to float, seconds after its arrival
        Of those that have one.
    warmup : float
        Share of the applications, by arrival, that is cut off.

    Returns
    -------
    dict of str to number, and `jct_quantiles`, a list
        Seconds, unless the name says otherwise; NaN where undefined. `rate` is that of the arrivals per second,
        `growth` and `is_saturated` are of `analysis.statistics.saturation`.

    Raises
    ------
    ValueError
        When the records contradict each other (`analysis.statistics.little`).
    """
    arrived = calls.groupby("app", sort=False)["app_arrived_at"].first()
    kept = after_warmup(arrived, warmup)
    counted = calls[calls["app"].isin(arrived.index[kept])]
    jct = metrics.jct(calls)
    own = jct[jct.index.isin(arrived.index[kept])]
    wanted = pd.Series(dict(deadlines), dtype=float)
    return {
        "num_applications": len(arrived),
        "num_counted": int(kept.sum()),
        "num_calls": len(calls),
        "num_failed_calls": metrics.num_failed(calls),
        "rate": _rate(arrived),
        **_latencies(counted, own),
        **_slowdowns(own, pd.Series(dict(alone), dtype=float)),
        **_deadlines(own, wanted[wanted.index.isin(arrived.index[kept])], arrived[kept]),
        **_whole_run(calls, steps),
        **_trend(arrived, kept, jct, pd.Series(dict(alone), dtype=float)),
        "suggested_warmup": mser5(jct.reindex(arrived.sort_values(kind="stable").index).to_numpy()),
        "little_gap": little_gap(calls, steps),
        "jct_quantiles": own.quantile(QUANTILES).tolist(),
    }


def _rate(arrived: pd.Series) -> float:
    span = float(arrived.max() - arrived.min())
    return (len(arrived) - 1) / span if span > 0 else float("nan")


def _latencies(calls: pd.DataFrame, jct: pd.Series) -> dict[str, float]:
    measured = metrics.call_metrics(calls)
    return {
        "jct_mean": float(jct.mean()),
        **{f"jct_p{percent}": float(jct.quantile(percent / 100)) for percent in (50, 95, 99)},
        **{f"{name}_mean": float(measured[name].mean()) for name in ("hold_time", "ttft", "tpot", "e2e")},
        **{f"{name}_p99": float(measured[name].quantile(0.99)) for name in ("ttft", "e2e")},
    }


def _slowdowns(jct: pd.Series, alone: pd.Series) -> dict[str, float]:
    slow = slowdowns(jct, alone)
    return {
        "jct_bound": float(alone.reindex(jct.index).mean()),
        "slowdown_mean": float(slow.mean()),
        "slowdown_p99": float(slow.quantile(0.99)),
        "fairness": jain_index(1 / slow.to_numpy()),
    }


def _deadlines(jct: pd.Series, deadlines: pd.Series, arrived: pd.Series) -> dict[str, float]:
    met = deadlines_met(jct, deadlines)
    share = float(met.mean()) if len(met) else float("nan")
    return {"deadlines_met": share, "goodput": goodput(met, float(arrived.max() - arrived.min()))}


def _whole_run(calls: pd.DataFrame, steps: pd.DataFrame) -> dict[str, float]:
    makespan = metrics.makespan(calls)
    busy = sum(busy_time(own) for _, own in steps.groupby("engine"))
    return {
        "makespan": makespan,
        "calls_per_second": metrics.call_throughput(calls),
        "output_tokens_per_second": metrics.output_token_throughput(calls),
        "busy_engines": busy / makespan,
        "cache_hit_share": metrics.cache_hit_share(calls),
        "num_preemptions": metrics.num_preemptions(calls),
    }


def _trend(arrived: pd.Series, kept: pd.Series, jct: pd.Series, alone: pd.Series) -> dict[str, float | bool]:
    at = arrived.to_numpy()
    finished = at + jct.reindex(arrived.index).fillna(np.inf).to_numpy()
    due = at + alone.reindex(arrived.index).to_numpy()
    trend = growth(at, due, finished, float(arrived[kept].min()))
    return {"growth": trend.share, "is_saturated": trend.is_saturated}
