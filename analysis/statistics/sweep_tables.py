"""From one row a run to one row a setting: means over seeds with intervals, and paired differences between policies.

The input is the table of a sweep: columns that say what was run (`keys`, among them `policy`), `seed`, `status`, and
the figures of `analysis.statistics.replication`. A setting is one combination of the keys.

A setting is saturated when at least half of its runs are. Its runs are then marked and not averaged: a mean over a
queue that grows for as long as one looks says only how long that was. Otherwise all of its runs count, because leaving
out the unlucky ones would favour it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from scipy import stats

from analysis.statistics.intervals import mean_interval, paired_difference

#: What is averaged, where it is defined. Lower is better but for the last four.
FIGURES = (
    "jct_mean",
    "jct_p95",
    "jct_p99",
    "ttft_mean",
    "ttft_p99",
    "tpot_mean",
    "e2e_mean",
    "slowdown_mean",
    "slowdown_p99",
    "jct_bound",
    "makespan",
    "fairness",
    "deadlines_met",
    "goodput",
    "output_tokens_per_second",
    "cache_hit_share",
)

#: Expected share of false ones among the differences that are marked as significant.
FALSE_DISCOVERIES = 0.05


def setting_means(runs: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Means over seeds.

    Parameters
    ----------
    runs : pandas.DataFrame
        One row a run.
    keys : sequence of str
        Columns that make a setting.

    Returns
    -------
    pandas.DataFrame
        One row a setting and figure: the keys, `load`, `rate`, `num_runs`, `num_failed`, `num_saturated`,
        `is_saturated`, `figure`, and `mean`, `low` and `high` of its 95% interval.
    """
    rows = []
    for values, own in runs.groupby(list(keys), sort=False, dropna=False):
        setting = dict(zip(keys, values, strict=True)) | _counts(own)
        for figure in FIGURES:
            withheld = setting["is_saturated"] and figure != "jct_bound"  # which no queue enters
            interval = mean_interval(own.loc[own["status"] == "ok", figure].iloc[: 0 if withheld else None])
            rows.append(
                {**setting, "figure": figure, "mean": interval.mean, "low": interval.low, "high": interval.high}
            )
    return pd.DataFrame(rows)


def _counts(runs: pd.DataFrame) -> dict[str, Any]:
    done = runs[runs["status"] == "ok"]
    num_saturated = int(done["is_saturated"].astype(bool).sum())
    return {
        "load": float(done["load"].mean()),
        "rate": float(done["rate"].mean()),
        "num_runs": len(runs),
        "num_failed": len(runs) - len(done),
        "num_saturated": num_saturated,
        "is_saturated": 2 * num_saturated >= len(done) > 0,
    }


def policy_differences(runs: pd.DataFrame, keys: Sequence[str], baseline: str) -> pd.DataFrame:
    """Every policy against one of them, seed by seed.

    Parameters
    ----------
    runs : pandas.DataFrame
        One row a run.
    keys : sequence of str
        Columns that make a setting, `policy` among them.
    baseline : str
        The policy to compare with.

    Returns
    -------
    pandas.DataFrame
        One row a setting, policy and figure: the keys, `figure`, `baseline` and `mean` (means over the seeds that both
        have), `difference`, `low`, `high`, the same three over the baseline's mean as `relative`, `relative_low` and
        `relative_high`, `p_value`, `is_significant`, `is_saturated` and `is_baseline_saturated`. Undefined where either
        is saturated.

    Notes
    -----
    Intervals are of one comparison each. `is_significant` takes account of how many there are: Benjamini and
    Hochberg's procedure (Journal of the Royal Statistical Society B 57(1), 1995) over all rows of one figure.
    """
    others = [key for key in keys if key != "policy"]
    rows = [
        {**dict(zip(others, values, strict=True)), **row}
        for values, own in runs.groupby(others, sort=False, dropna=False)
        for row in _against(own, baseline)
    ]
    frame = pd.DataFrame(rows)
    if not frame.empty:
        frame["is_significant"] = frame.groupby("figure", sort=False)["p_value"].transform(_significant).astype(bool)
    return frame


def _against(runs: pd.DataFrame, baseline: str) -> Iterator[dict[str, Any]]:
    """Rows of one setting of everything but the policy."""
    by_policy = {str(name): own.set_index("seed") for name, own in runs.groupby("policy", sort=False)}
    if baseline not in by_policy:
        return
    saturated = {name: _counts(own)["is_saturated"] for name, own in by_policy.items()}
    for name, own in by_policy.items():
        if name == baseline:
            continue
        flags = {"is_saturated": saturated[name], "is_baseline_saturated": saturated[baseline]}
        for figure in FIGURES:
            values = [each[figure].astype(float) for each in (by_policy[baseline], own)]
            if any(flags.values()):
                values = [each.iloc[:0] for each in values]
            yield {"policy": name, "figure": figure, **flags, **_difference(*values)}


def _difference(first: pd.Series, second: pd.Series) -> dict[str, float]:
    pairs = pd.DataFrame({"first": first, "second": second}).dropna()
    interval = paired_difference(pairs["first"], pairs["second"])
    base = float(pairs["first"].mean())
    unit = base if base else float("nan")
    return {
        "num_pairs": interval.num,
        "baseline": base,
        "mean": float(pairs["second"].mean()),
        "difference": interval.mean,
        "low": interval.low,
        "high": interval.high,
        "relative": interval.mean / unit,
        "relative_low": interval.low / unit,
        "relative_high": interval.high / unit,
        "p_value": interval.p_value,
    }


def _significant(p_values: pd.Series) -> pd.Series:
    defined = p_values.dropna()
    if defined.empty:
        return pd.Series(False, index=p_values.index)
    adjusted = pd.Series(stats.false_discovery_control(defined.to_numpy(), method="bh"), index=defined.index)
    return adjusted.reindex(p_values.index) < FALSE_DISCOVERIES
