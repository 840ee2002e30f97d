"""Policies against workloads: how much faster or slower than a baseline, and whether chance could have done it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analysis.plots import style

#: From blue (faster) over white to orange (slower), told apart under the common forms of colour blindness.
_COLOURS = "PuOr_r"

#: Relative differences beyond this have the full colour.
_FULL = 0.5


def difference_map(differences: pd.DataFrame, titles: dict[str, str], *, caption: str = "") -> Figure:
    """Relative difference of each policy to the baseline on each workload.

    Parameters
    ----------
    differences : pandas.DataFrame
        Rows of `analysis.statistics.sweep_tables.policy_differences`, one a workload and policy.
    titles : dict of workload to str
        Columns, in order, with their titles.
    caption : str
        See `analysis.plots.style.add_caption`.

    Returns
    -------
    matplotlib.figure.Figure
        A star marks what is significant after allowing for the number of comparisons; the interval stands below.
    """
    policies = list(differences["policy"].unique())
    by_place = differences.set_index(["policy", "workload"])
    with rc_context({**style.SETTINGS, "axes.grid": False}):
        figure = style.new_figure(max(6.5, 1.45 * len(titles) + 2.2), 0.48 * len(policies) + 1.6)
        ax = figure.subplots()
        values = by_place["relative"].unstack("workload").reindex(index=policies, columns=list(titles)).to_numpy()
        scale = Normalize(-_FULL, _FULL)
        image = ax.imshow(np.clip(values, -_FULL, _FULL), cmap=_COLOURS, norm=scale, aspect="auto")
        for place in np.ndindex(values.shape):
            key = (policies[place[0]], list(titles)[place[1]])
            if key in by_place.index:
                _write(ax, place, by_place.loc[key])
        ax.set_yticks(range(len(policies)), policies)
        ax.set_xticks(range(len(titles)), list(titles.values()))
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        bar = figure.colorbar(
            image, ax=ax, format=lambda value, _: f"{value:+.0%}" if value else "0%", shrink=0.8, extend="both"
        )
        bar.set_label("difference of mean JCT")
        bar.outline.set_visible(False)
        for side in ax.spines.values():
            side.set_visible(False)
        style.add_caption(figure, caption)
    return figure


def _write(ax: Axes, place: tuple[int, ...], row: pd.Series) -> None:
    y, x = place
    if row["is_saturated"] or row["is_baseline_saturated"]:
        ax.text(x, y, "saturated", ha="center", va="center", fontsize=8, color="#666666", style="italic")
        return
    # Dark cells take white letters.
    colour = "white" if abs(row["relative"]) > 0.6 * _FULL else "#222222"
    star = " *" if row["is_significant"] else ""
    weight = "bold" if star else "normal"
    ax.text(x, y - 0.13, f"{row['relative']:+.1%}{star}", ha="center", va="center", color=colour, weight=weight)
    if np.isfinite(row["relative_low"]):
        interval = f"{row['relative_low']:+.1%} to {row['relative_high']:+.1%}"
        ax.text(x, y + 0.24, interval, ha="center", va="center", color=colour, fontsize=6.5)
