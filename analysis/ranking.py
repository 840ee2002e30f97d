"""Does the simulator rank policies as the hardware does? Ranks, signs of differences, and what a wrong choice costs.

The input is a table with one row a scenario, policy and repeat: the figure of merit simulated and measured, lower is
better. Policies are compared within a scenario, never across.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

#: Columns of the input. `repeat` is a seed, or the number of a repeated measurement.
COLUMNS = ("scenario", "policy", "repeat", "simulated", "measured")

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Ranking:
    """How a simulator ranks policies, beside the hardware.

    Parameters
    ----------
    policies : pandas.DataFrame
        One row a scenario and policy: `scenario`, `policy`, `num`, means over the repeats `simulated` and `measured`,
        the half-width `margin` of the measured mean's 95% interval (NaN without repeats), `error` of the simulation,
        and both ranks, 1 the best.
    pairs : pandas.DataFrame
        One row a pair of policies of a scenario: `scenario`, `first`, `second`, relative differences `simulated` and
        `measured` of the second to the first, the measured one's 95% interval `low` to `high`, whether it is `resolved`
        (the interval excludes 0) and whether the signs `agree`.
    scenarios : pandas.DataFrame
        One row a scenario: `scenario`, `num_policies`, `tau`, `num_pairs`, `num_agreeing`, `num_resolved`,
        `num_resolved_agreeing`, the policies `chosen` by the simulator and `best` as measured, and `regret`.
    """

    policies: pd.DataFrame
    pairs: pd.DataFrame
    scenarios: pd.DataFrame


def rank_policies(table: pd.DataFrame) -> Ranking:
    """Compare the order of policies in simulation and measurement.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns `COLUMNS`.

    Returns
    -------
    Ranking

    Raises
    ------
    ValueError
        When a value is missing or no scenario has two policies.

    Notes
    -----
    tau is Kendall's tau-b of the means. Regret is what the policy with the best simulated mean costs on the hardware
    over the policy that is best there, relative. The interval of a measured difference is Student's, over repeats that
    both policies have (the same seed is the same arrivals, so repeats are paired); a pair with fewer than two is not
    resolved. Each pair has its own interval: with many pairs some will exclude 0 by chance.
    """
    _check(table)
    groups = [(str(name), own) for name, own in table.groupby("scenario", sort=False) if own["policy"].nunique() > 1]
    if not groups:
        raise ValueError("no scenario has runs of two policies, so there is nothing to rank")
    policies = pd.concat([_policies(name, own) for name, own in groups], ignore_index=True)
    pairs = pd.DataFrame([pair for name, own in groups for pair in _pairs(name, own)])
    rows = [_scenario(name, policies, pairs) for name, _ in groups]
    return Ranking(policies, pairs, pd.DataFrame(rows))


def _check(table: pd.DataFrame) -> None:
    for column in COLUMNS:
        if column not in table:
            raise ValueError(f"table has no column {column!r}")
    undefined = table[["simulated", "measured"]].isna().any(axis=1)
    if undefined.any():
        row = table[undefined].iloc[0]
        raise ValueError(f"scenario {row['scenario']!r}, policy {row['policy']!r}: a value is undefined")


def _policies(scenario: str, table: pd.DataFrame) -> pd.DataFrame:
    """Means and ranks of the policies of one scenario."""
    grouped = table.groupby("policy", sort=False)
    frame = grouped[["simulated", "measured"]].mean()
    num = grouped.size()
    frame.insert(0, "num", num)
    frame["margin"] = grouped["measured"].sem() * stats.t.ppf((1 + CONFIDENCE) / 2, (num - 1).where(num > 1))
    frame["error"] = frame["simulated"] / frame["measured"] - 1
    for kind in ("simulated", "measured"):
        frame[f"{kind}_rank"] = frame[kind].rank(method="min").astype(int)
    frame = frame.reset_index()
    frame.insert(0, "scenario", scenario)
    return frame


def _pairs(scenario: str, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Every pair of policies of one scenario."""
    wide = {
        kind: table.pivot_table(index="repeat", columns="policy", values=kind) for kind in ("simulated", "measured")
    }
    for first, second in combinations(table["policy"].unique(), 2):
        relative = {kind: values[second].mean() / values[first].mean() - 1 for kind, values in wide.items()}
        low, high = _interval(wide["measured"][first], wide["measured"][second])
        yield {
            "scenario": scenario,
            "first": first,
            "second": second,
            **relative,
            "low": low,
            "high": high,
            "resolved": bool(low > 0 or high < 0),
            "agree": _sign(relative["simulated"]) == _sign(relative["measured"]),
        }


def _sign(difference: float) -> float:
    """Sign of a relative difference; policies that did the same differ by rounding alone."""
    return float(np.sign(round(difference, 9)))


def _interval(first: pd.Series, second: pd.Series) -> tuple[float, float]:
    """Interval of the relative difference of the second to the first, over the repeats that both have."""
    difference = (second - first).dropna()
    if len(difference) < 2:
        return float("nan"), float("nan")
    reach = float(difference.sem() * stats.t.ppf((1 + CONFIDENCE) / 2, len(difference) - 1))
    base = float(first[difference.index].mean())
    middle = float(difference.mean())
    return (middle - reach) / base, (middle + reach) / base


def _scenario(scenario: str, policies: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, Any]:
    own = policies[policies["scenario"] == scenario].set_index("policy")
    signs = pairs[pairs["scenario"] == scenario]
    chosen, best = own["simulated"].idxmin(), own["measured"].idxmin()
    return {
        "scenario": scenario,
        "num_policies": len(own),
        "tau": float(stats.kendalltau(own["simulated"], own["measured"]).statistic),
        "num_pairs": len(signs),
        "num_agreeing": int(signs["agree"].sum()),
        "num_resolved": int(signs["resolved"].sum()),
        "num_resolved_agreeing": int((signs["agree"] & signs["resolved"]).sum()),
        "chosen": chosen,
        "best": best,
        "regret": float(own.loc[chosen, "measured"] / own.loc[best, "measured"] - 1),
    }
