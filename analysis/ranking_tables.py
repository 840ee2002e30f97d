"""A ranking of policies as tables for a terminal."""

from __future__ import annotations

import pandas as pd
from rich.table import Table

from analysis.ranking import Ranking
from analysis.tables import COUNT, RATIO, SECONDS, Unit, table, wrapping
from analysis.validation_runs import MERIT_LABELS, without_hashes

_SIGNED = Unit("%", 1e2, 2, signed=True)

_NOTE = (
    "tau: Kendall's tau-b of the means. Regret: {second} cost of the policy that the simulator likes best, over the "
    "lowest. Signs: pairs of policies whose difference has the {second} sign; "
    "resolved: of the pairs whose {second} 95% interval over repeats excludes 0."
)


def ranking_tables(ranking: Ranking, merit: str, *, measured_label: str = "measured") -> list[Table]:
    """Policies and pairs of policies of each scenario, then the verdict on all.

    Parameters
    ----------
    ranking : Ranking
    merit : str
        A key of `analysis.validation_runs.MERIT_LABELS`.
    measured_label : str
        What measured runs are called, see `analysis.comparison.manifests.second_label`.
    """
    names = list(ranking.scenarios["scenario"])
    shown = []
    for name, label in zip(names, without_hashes(names), strict=True):
        shown += _of_scenario(ranking, name, f"{label}: {MERIT_LABELS[merit]}", measured_label)
    found = ranking.scenarios
    verdict = pd.DataFrame(
        {
            "scenario": without_hashes(names),
            "tau": found["tau"],
            "signs": _fractions(found, "num_agreeing", "num_pairs"),
            "resolved": _fractions(found, "num_resolved_agreeing", "num_resolved"),
            "regret": found["regret"],
            "chosen": found["chosen"],
            "best": found["best"],
        }
    )
    units = {"tau": RATIO, "regret": Unit("%", 1e2, 2)}
    title = f"Ranking of policies by {MERIT_LABELS[merit]}"
    note = _NOTE.format(second=measured_label)
    return [*shown, wrapping(table(verdict, units, title=title, caption=note), "chosen", "best")]


def _of_scenario(ranking: Ranking, scenario: str, title: str, second: str) -> list[Table]:
    policies = ranking.policies[ranking.policies["scenario"] == scenario].drop(columns="scenario")
    renamed = {"measured": second, "measured_rank": f"{second}_rank"}
    policies = policies.rename(columns=renamed)
    units = dict.fromkeys(("simulated", second, "margin"), SECONDS)
    units |= {"num": COUNT, "error": _SIGNED, "simulated_rank": COUNT, f"{second}_rank": COUNT}
    pairs = ranking.pairs[ranking.pairs["scenario"] == scenario].drop(columns="scenario")
    pairs = pairs.assign(**{name: pairs[name].map({True: "yes", False: "no"}) for name in ("resolved", "agree")})
    pairs = pairs.rename(columns=renamed)
    signs = dict.fromkeys(("simulated", second, "low", "high"), _SIGNED)
    named = wrapping(table(policies, units, title=title), "policy")
    return [named, wrapping(table(pairs, signs, title="second against first"), "first", "second")]


def _fractions(frame: pd.DataFrame, part: str, whole: str) -> list[str]:
    return [f"{a} of {b}" for a, b in zip(frame[part], frame[whole], strict=True)]
