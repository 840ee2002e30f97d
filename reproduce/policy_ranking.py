"""Does the simulator rank policies as the hardware did?

The loads are those of `reproduce.measured_runs`, judged as `dovetail validate` does. Every load that was measured under
three policies or more is a scenario. The mixed load (map-reduce, chats, single calls, agents) was drawn three times;
its draws together are one more scenario, in which they are the repeats. mixed-4 is a larger one, for four engines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from rich.console import Console

from analysis.plots import style
from analysis.plots.ranking import ranking_figure
from analysis.ranking import Ranking, rank_policies
from analysis.ranking_tables import ranking_tables
from analysis.validation_runs import MERIT_LABELS, figure_of_merit
from reproduce.measured_runs import PROFILE, Experiment, experiments, simulated
from sim.profile import load_profile

#: Fewer leave nothing to rank.
_LEAST_POLICIES = 3

#: Of the mixed loads; runs with another window bear it in their label.
_WINDOW = 8

_DRAWS = ("mixed-1", "mixed-2", "mixed-3")
_ALL_DRAWS = "mixed, all 3 draws"

_CAPTION = (
    "Measured: vLLM 0.24.0, one (agents), two or (mixed-4) four NVIDIA H200, Llama-13B shape, fp16, random weights. "
    f"Simulated: profile {PROFILE}. bounds: map=8, reduce=2 in place of a window. mixed: map-reduce, chats, single "
    f"calls and agents, 166 calls a draw, window {_WINDOW} unless named."
)


def table(merit: str = "jct") -> pd.DataFrame:
    """Figure of merit of every policy, simulated and measured, in the columns of `analysis.ranking.COLUMNS`.

    Parameters
    ----------
    merit : str
        A key of `analysis.validation_runs.MERIT_LABELS`.
    """
    profile = load_profile(PROFILE)
    rows = []
    for each in _ranked():
        value = figure_of_merit(simulated(each, profile).calls, merit)
        for number, directory in enumerate(each.repeats):
            calls = pq.read_table(directory / "calls.parquet").to_pandas()
            rows.append((_load(each.name), _label(each.manifest), str(number), value, figure_of_merit(calls, merit)))
    return pd.DataFrame(rows, columns=["scenario", "policy", "repeat", "simulated", "measured"])


def ranking(found: pd.DataFrame) -> Ranking:
    """Rank the policies of every load of `table`, and of all draws of the mixed load.

    Loads that no policy changes in simulation have nothing to rank; they are left out, and `unchanged` names them.
    """
    kept = found[~found["scenario"].isin(unchanged(found))]
    return rank_policies(pd.concat([kept, _all_draws(kept)], ignore_index=True))


def unchanged(found: pd.DataFrame) -> list[str]:
    """Loads on which all policies did the same in simulation: one engine without a window takes every call at once."""
    spread = found.groupby("scenario", sort=False)["simulated"].agg(lambda values: values.max() - values.min())
    return [str(name) for name in spread.index[spread < 1e-9]]  # seconds; far below any difference of schedules


def print_ranking(console: Console, found: pd.DataFrame, merit: str = "jct") -> None:
    """Policies and pairs of each scenario, then tau, agreeing signs and regret."""
    for each in ranking_tables(ranking(found), merit):
        console.print(each)
    for name in unchanged(found):
        measured = found.loc[found["scenario"] == name, "measured"]
        console.print(
            f"{name}: no policy changes anything in simulation; measured values are within "
            f"{100 * (measured.max() / measured.min() - 1):.2f}% of each other."
        )
    console.print(_CAPTION)


def draw_ranking(found: pd.DataFrame, path: Path, merit: str = "jct") -> None:
    """Write the picture, as PNG and SVG; `path` without the suffix."""
    style.save(ranking_figure(ranking(found), merit=f"{MERIT_LABELS[merit]} (s)", caption=_CAPTION), path)


def _ranked() -> list[Experiment]:
    """Experiments whose load was measured under enough policies, on as many engines."""
    policies: dict[str, set[str]] = {}
    measured = experiments(load_profile(PROFILE))
    for each in measured:
        policies.setdefault(_same(each), set()).add(each.manifest["policy"]["name"])
    return [each for each in measured if len(policies[_same(each)]) >= _LEAST_POLICIES]


def _same(experiment: Experiment) -> str:
    return f"{experiment.manifest['workload']['hash']} on {experiment.manifest['num_engines']}"


def _load(run: str) -> str:
    """Name of a load, from that of a run.

    Examples
    --------
    >>> [_load(run) for run in ("mixed-1-stage-priority", "map-reduce-30-bounds", "agents")]
    ['mixed-1', 'map-reduce-30', 'agents']
    """
    found = re.match(r"[a-z-]+-\d+|[a-z]+", run)
    return found[0] if found else run


def _label(manifest: Mapping[str, Any]) -> str:
    """Policy, with what sets it apart from its other runs on the load."""
    policy, window = manifest["policy"], manifest["window"]
    if policy["parameters"].get("bounds"):
        return f"{policy['name']}, bounds"
    if manifest["workload"]["name"] != "mixture" or window == _WINDOW:
        return str(policy["name"])
    if manifest["engine_settings"]["scheduling_policy"] == "priority":
        return f"{policy['name']} in the engines"
    return f"{policy['name']} window {window}" if window else f"{policy['name']} no window"


def _all_draws(found: pd.DataFrame) -> pd.DataFrame:
    """The draws of the mixed load as repeats of one scenario, under the policies that all of them have."""
    draws = found[found["scenario"].isin(_DRAWS)]
    means = draws.groupby(["scenario", "policy"], sort=False)[["simulated", "measured"]].mean().reset_index()
    in_all = means.groupby("policy")["scenario"].transform("nunique") == means["scenario"].nunique()
    return means[in_all].rename(columns={"scenario": "repeat"}).assign(scenario=_ALL_DRAWS)
