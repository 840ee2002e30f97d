"""One run in a few numbers: latency statistics per stage, application completion, throughput, engine use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import metrics

#: Columns of every latency table, after the row's names: sample size, mean and percentiles, seconds.
STATISTICS = ("num", "mean", "p50", "p90", "p95", "p99")

#: Name of the row over all calls; parentheses keep it apart from a stage called "all".
ALL_STAGES = "(all)"


@dataclass(frozen=True, slots=True)
class Summary:
    """What one run amounts to. Times are seconds.

    Parameters
    ----------
    latency : pandas.DataFrame
        One row a stage and metric (`stage`, `metric`, then `STATISTICS`); stage `ALL_STAGES` is over all calls.
    jct : dict
        `STATISTICS` of the completion times of whole applications.
    totals : dict
        Counts of calls, applications and failures, `makespan`, throughput, cache hits and preemptions.
    engines : pandas.DataFrame
        One row an engine that ran a step: `engine`, `num_calls`, `num_steps`, `busy_share`, `mean_batch`.
    """

    latency: pd.DataFrame
    jct: dict[str, float]
    totals: dict[str, float]
    engines: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """JSON form; undefined values (a mean over nothing) are None."""
        return {
            "latency": _rows(self.latency),
            "jct": _plain(self.jct),
            "totals": _plain(self.totals),
            "engines": _rows(self.engines),
        }

    def statistic(self, metric: str, name: str, stage: str = ALL_STAGES) -> float:
        """One cell of `latency`, seconds: `statistic("ttft", "p95", "map")`.

        Raises
        ------
        ValueError
            When the run has no such stage or metric.
        """
        rows = self.latency[(self.latency["stage"] == stage) & (self.latency["metric"] == metric)]
        if rows.empty:
            raise ValueError(f"summary has no metric={metric!r} for stage={stage!r}")
        return float(rows.iloc[0][name])


def summarise(calls: pd.DataFrame, steps: pd.DataFrame) -> Summary:
    """Summary of one run.

    Parameters
    ----------
    calls, steps : pandas.DataFrame
        Columns `traces.records.CALL_COLUMNS` and `STEP_COLUMNS`.

    Raises
    ------
    ValueError
        When there is no call at all.
    """
    if calls.empty:
        raise ValueError("calls has 0 rows; a summary needs at least one call")
    return Summary(
        latency=latency_statistics(metrics.call_metrics(calls)),
        jct=statistics(metrics.jct(calls)),
        totals=totals(calls),
        engines=engine_use(calls, steps),
    )


def statistics(values: pd.Series) -> dict[str, float]:
    """Sample size, mean and percentiles (linear interpolation) of the defined values, by the names of `STATISTICS`."""
    defined = values.dropna()
    quantiles = defined.quantile([0.5, 0.9, 0.95, 0.99])
    return dict(zip(STATISTICS, [len(defined), float(defined.mean()), *map(float, quantiles)], strict=True))


def latency_statistics(call_metrics: pd.DataFrame) -> pd.DataFrame:
    """Statistics of each metric over all calls and per stage, stages in order of appearance.

    Parameters
    ----------
    call_metrics : pandas.DataFrame
        Result of `analysis.metrics.call_metrics`.
    """
    groups = [(ALL_STAGES, call_metrics), *call_metrics.groupby("stage", sort=False)]
    rows = [
        {"stage": stage, "metric": metric, **statistics(group[metric])}
        for stage, group in groups
        for metric in metrics.CALL_METRICS
    ]
    return pd.DataFrame(rows, columns=["stage", "metric", *STATISTICS])


def totals(calls: pd.DataFrame) -> dict[str, float]:
    """Counts, makespan (s), throughput (1/s), cache hit share and preemptions of a run."""
    num_applications = int(calls["app"].nunique())
    return {
        "num_calls": len(calls),
        "num_failed_calls": metrics.num_failed(calls),
        "num_applications": num_applications,
        "num_failed_applications": num_applications - len(metrics.jct(calls)),
        "makespan": metrics.makespan(calls),
        "output_tokens_per_second": metrics.output_token_throughput(calls),
        "calls_per_second": metrics.call_throughput(calls),
        "cache_hit_share": metrics.cache_hit_share(calls),
        "num_preemptions": metrics.num_preemptions(calls),
    }


def engine_use(calls: pd.DataFrame, steps: pd.DataFrame) -> pd.DataFrame:
    """How busy each engine was.

    Returns
    -------
    pandas.DataFrame
        `engine`; `num_calls` it completed; `num_steps`; `busy_share` of the makespan spent in steps; `mean_batch`,
        calls in a step, averaged over busy time. An engine that ran no step leaves no record and has no row.
    """
    # A run that was stopped has steps after its last finished call.
    span = max(metrics.makespan(calls), float(steps["finished_at"].max() - calls["app_arrived_at"].min()))
    num_calls = metrics.completed(calls).groupby("engine").size()
    rows = [
        {
            "engine": engine,
            "num_calls": int(num_calls.get(engine, 0)),
            "num_steps": int(own["count"].sum()),
            "busy_share": busy_time(own) / span,
            "mean_batch": _mean_batch(own),
        }
        for engine, own in steps.groupby("engine")
    ]
    return pd.DataFrame(rows, columns=["engine", "num_calls", "num_steps", "busy_share", "mean_batch"])


def busy_time(steps: pd.DataFrame) -> float:
    """Seconds covered by at least one step of a single engine.

    Notes
    -----
    A union, not a sum: under async scheduling an engine may open a step before the one before it has returned.
    """
    ordered = steps.sort_values("started_at", kind="stable")
    covered_until = ordered["finished_at"].cummax().shift(fill_value=float("-inf"))
    fresh = ordered["finished_at"] - ordered["started_at"].clip(lower=covered_until)
    return float(fresh.clip(lower=0.0).sum())


def compare(summaries: Mapping[str, Summary]) -> pd.DataFrame:
    """One row a run, for the table of several policies side by side.

    Parameters
    ----------
    summaries : dict of policy name to Summary

    Returns
    -------
    pandas.DataFrame
        `policy`, JCT mean and p95, makespan, TTFT, TPOT and E2E means (s), tokens per second, cache hits, preemptions.
    """
    return pd.DataFrame([{"policy": name, **_headline(summary)} for name, summary in summaries.items()])


def _headline(summary: Summary) -> dict[str, float]:
    """The few figures by which policies are compared."""
    totals_ = summary.totals
    return {
        "jct_mean": summary.jct["mean"],
        "jct_p95": summary.jct["p95"],
        "makespan": totals_["makespan"],
        "ttft_mean": summary.statistic("ttft", "mean"),
        "tpot_mean": summary.statistic("tpot", "mean"),
        "e2e_mean": summary.statistic("e2e", "mean"),
        "output_tokens_per_s": totals_["output_tokens_per_second"],
        "cache_hits": totals_["cache_hit_share"],
        "num_preempted": totals_["num_preemptions"],
        "num_failed": totals_["num_failed_calls"],
    }


def _mean_batch(steps: pd.DataFrame) -> float:
    """Calls in a step, weighted by the time the steps take; NaN without busy time."""
    durations = steps["finished_at"] - steps["started_at"]
    busy = float(durations.sum())
    batch = steps["num_decodes"] + steps["num_prefills"]
    return float((durations * batch).sum()) / busy if busy > 0 else float("nan")


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [_plain(row) for row in frame.to_dict("records")]


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain Python values; NaN, which JSON does not have, becomes None."""
    plain = {str(key): getattr(value, "item", lambda value=value: value)() for key, value in values.items()}
    return {key: None if value != value else value for key, value in plain.items()}
