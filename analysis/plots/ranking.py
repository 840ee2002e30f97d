"""Policies as the simulator and as the hardware rank them: one panel a scenario, both figures of each policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.plots import style
from analysis.ranking import Ranking
from analysis.validation_runs import without_hashes

#: Panels side by side.
_NUM_COLUMNS = 2


def ranking_figure(ranking: Ranking, *, merit: str, measured_label: str = "measured", caption: str = "") -> Figure:
    """Simulated and measured figure of merit of each policy, best measured policy on top, with intervals.

    Parameters
    ----------
    ranking : Ranking
    merit : str
        Label of the axis, such as "mean JCT (s)".
    measured_label : str
        What measured runs are called, such as "virtual device".
    caption : str
        See `analysis.plots.style.add_caption`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    scenarios = ranking.scenarios.to_dict("records")
    labels = without_hashes([row["scenario"] for row in scenarios])
    num_columns = min(_NUM_COLUMNS, len(scenarios))
    num_rows = -(-len(scenarios) // num_columns)
    most = int(ranking.scenarios["num_policies"].max())
    with rc_context(style.SETTINGS):
        figure = style.new_figure(4.9 * num_columns + 0.6, num_rows * (0.34 * most + 1.1) + 0.8)
        axes = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
        for ax, row, label in zip(axes, scenarios, labels, strict=False):
            own = ranking.policies[ranking.policies["scenario"] == row["scenario"]]
            _panel(ax, own.sort_values("measured", kind="stable"), measured_label)
            ax.set_title(label, loc="left", fontweight="bold", pad=27)
            ax.text(0, 1.02, _verdict(row), fontsize=7.5, transform=ax.transAxes, va="bottom")
            ax.set_xlabel(merit)
        for ax in axes[len(scenarios) :]:
            ax.set_visible(False)
        style.add_legend(figure, *axes[0].get_legend_handles_labels(), handlelength=1.6)
        whiskers = (
            f"Whiskers: 95% interval of the {measured_label} mean over repeats. "
            if ranking.policies["num"].max() > 1
            else ""
        )
        style.add_caption(figure, whiskers + caption)
    return figure


def _panel(ax: Axes, policies: pd.DataFrame, measured_label: str) -> None:
    places = np.arange(len(policies))
    look: dict[str, Any] = {"linestyle": "none", "markersize": 7}
    for place, simulated, measured in zip(places, policies["simulated"], policies["measured"], strict=True):
        ax.plot([simulated, measured], [place, place], color="#bbbbbb", linewidth=2, zorder=1)
    ax.plot(policies["simulated"], places, "o", color=style.colour(0), label="simulated", **look)
    ax.errorbar(
        policies["measured"],
        places,
        xerr=policies["margin"].fillna(0.0),
        fmt="D",
        color=style.colour(1),
        capsize=3,
        markersize=6,
        markerfacecolor="none",
        label=measured_label,
    )
    ax.set_yticks(places, [str(name).replace(" (", "\n(").replace("), ", ")\n") for name in policies["policy"]])
    ax.set_ylim(len(policies) - 0.5, -0.5)
    highest = max(policies["simulated"].max(), (policies["measured"] + policies["margin"].fillna(0.0)).max())
    ax.set_xlim(0.0, 1.04 * highest)  # room for the outermost marker
    ax.grid(axis="y", visible=False)


def _verdict(row: dict[str, Any]) -> str:
    tau = "undefined" if np.isnan(row["tau"]) else f"{row['tau']:.2f}"
    chosen = row["chosen"].split(" (")[0]  # its parameters stand on the axis
    signs = f"signs {row['num_agreeing']}/{row['num_pairs']}"
    return f"tau {tau}; {signs}\nregret {100 * row['regret']:.1f}% (chosen {chosen})"
