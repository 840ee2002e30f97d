"""Pictures of a sweep that have one line a policy with intervals: latency against load, and against any other axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.plots import style

#: Name that a figure of `analysis.statistics` has on an axis.
TITLES = {
    "jct_mean": "mean JCT (s)",
    "jct_p95": "95th percentile of JCT (s)",
    "ttft_mean": "mean TTFT (s)",
    "e2e_mean": "mean E2E latency (s)",
}

#: Shapes that go with the colours, for readers without them.
_MARKERS = "osD^vP*X"

_MAX_COLUMNS = 4

#: Distance of two policies at the same place, as a share of the axis.
_SPREAD = 0.011


def policy_colours(policies: Sequence[str], oracle: str) -> dict[str, str]:
    """Colour of each policy: the palette's in order, and black for the oracle."""
    others = [policy for policy in policies if policy != oracle]
    return {policy: "#000000" if policy == oracle else style.colour(others.index(policy)) for policy in policies}


def lines_by_workload(
    means: pd.DataFrame, x: str, x_title: str, *, oracle: str, figure: str = "jct_mean", caption: str = ""
) -> Figure:
    """One panel a workload, one line a policy: means over seeds with their intervals.

    Parameters
    ----------
    means : pandas.DataFrame
        Rows of `analysis.statistics.sweep_tables.setting_means`.
    x : str
        Column of the horizontal axis: numbers, or words in their order.
    x_title : str
        Its name, with the unit.
    oracle : str
        Policy that is drawn in black.
    figure : str
        Which of `TITLES`.
    caption : str
        See `analysis.plots.style.add_caption`.

    Returns
    -------
    matplotlib.figure.Figure
        A saturated setting is a mark above the panel, joined to no line. The grey line is the mean lower bound.
    """
    workloads = list(means["workload"].unique())
    colours = policy_colours(list(means["policy"].unique()), oracle)
    with rc_context(style.SETTINGS):
        drawn, panels = panels_of(len(workloads))
        for ax, workload in zip(panels, workloads, strict=True):
            _panel(ax, means[means["workload"] == workload], x, figure, colours)
            ax.set_title(workload, loc="left", fontweight="bold")
            ax.set_xlabel(x_title)
        panels[0].set_ylabel(TITLES[figure])
        handles = [_handle(index, policy, each) for index, (policy, each) in enumerate(colours.items())]
        handles.append(Line2D([], [], color="#888888", linestyle=":", label="lower bound"))
        if means["is_saturated"].any():
            handles.append(Line2D([], [], color="#888888", marker="^", linestyle="", label="saturated"))
        add_legend(drawn, handles)
        style.add_caption(drawn, caption)
    return drawn


def panels_of(number: int, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    """A figure with panels side by side, at most four a row."""
    columns = min(number, _MAX_COLUMNS)
    rows = -(-number // columns)
    drawn = style.new_figure(max(6.5, 2.75 * columns + 0.4), height * rows + 0.9)
    axes = drawn.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[number:]:
        unused.remove()
    return drawn, list(axes[:number])


def add_legend(drawn: Figure, handles: Sequence[Artist]) -> None:
    """One legend above all panels, as wide as they are."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, int(drawn.get_figwidth() / (0.075 * longest + 0.75)))
    drawn.legend(handles=handles, loc="outside upper left", ncols=min(columns, len(handles)), handlelength=3)


def _panel(ax: Axes, means: pd.DataFrame, x: str, figure: str, colours: dict[str, str]) -> None:
    own = means[means["figure"] == figure]
    places = _places(own[x])
    width = max(places.values()) - min(places.values()) or 1.0
    for index, (policy, colour) in enumerate(colours.items()):
        # Spread sideways a little, or the marks of all policies would cover one another.
        shift = _SPREAD * width * (index - (len(colours) - 1) / 2)
        beside = {value: place + shift for value, place in places.items()}
        _line(ax, own[own["policy"] == policy].set_index(x), beside, index, colour)
    bound = means[means["figure"] == "jct_bound"].groupby(x, sort=False)["mean"].mean()
    if figure.startswith("jct"):
        ax.plot(
            [places[value] for value in bound.index], bound, color="#888888", linestyle=":", linewidth=1.4, zorder=1
        )
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("{x:g}")
    ax.tick_params(axis="y", which="minor", labelsize=7)
    ax.set_xticks(list(places.values()), [f"{value:g}" if isinstance(value, float) else value for value in places])


def _places(values: pd.Series) -> dict[float | str, float]:
    """Where each value stands: numbers at themselves, words side by side."""
    known = list(dict.fromkeys(values.tolist()))
    numeric = all(isinstance(value, (int, float)) for value in known)
    return {value: float(value) if numeric else float(place) for place, value in enumerate(known)}


def _line(ax: Axes, own: pd.DataFrame, places: dict[float | str, float], index: int, colour: str) -> None:
    at = np.array([places[value] for value in own.index])
    reach = (own["high"] - own["mean"]).to_numpy()
    look: dict[str, Any] = {
        "color": colour,
        "linestyle": style.dashes(index),
        "marker": _MARKERS[index % len(_MARKERS)],
    }
    ax.errorbar(at, own["mean"], np.nan_to_num(reach), markersize=3.5, linewidth=1.3, capsize=2, elinewidth=0.9, **look)
    saturated = own["is_saturated"].to_numpy(dtype=bool)
    above: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False, "in_layout": False}
    ax.plot(at[saturated], np.full(saturated.sum(), 1.01), "^", color=colour, markersize=4, **above)


def _handle(index: int, policy: str, colour: str) -> Line2D:
    marker = _MARKERS[index % len(_MARKERS)]
    return Line2D([], [], color=colour, linestyle=style.dashes(index), marker=marker, markersize=3.5, label=policy)
