"""Errors per stage as bars with intervals, and the error of the JCT as a waterfall from measured to simulated."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.comparison.critical_path import PART_NAMES
from analysis.comparison.errors import CALL_ERRORS
from analysis.comparison.tables import PART_LABELS
from analysis.plots import style
from traces.wording import counted

#: Stages with bars of their own, the row over all calls included.
MAX_ROWS = 9

_TITLES = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E latency"}


def stage_errors(errors: pd.DataFrame, *, measured_label: str = "measured", caption: str = "") -> Figure:
    """Error of the mean TTFT, TPOT and E2E latency of every stage, with 95% intervals.

    Parameters
    ----------
    errors : pandas.DataFrame
        Of `analysis.comparison.errors.error_table`.
    measured_label : str
        What the second run is: "virtual device" is not measured hardware.
    caption : str
        See `analysis.plots.style.add_caption`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    means = errors[(errors["statistic"] == "mean") & errors["metric"].isin(CALL_ERRORS)]
    stages = list(means["stage"].unique())[:MAX_ROWS]
    rest = means["stage"].nunique() - len(stages)
    with rc_context(style.SETTINGS):
        figure = style.new_figure(8.5, 0.28 * len(stages) + 1.6)
        axes = figure.subplots(1, len(CALL_ERRORS), sharey=True)
        for index, (ax, metric) in enumerate(zip(axes, CALL_ERRORS, strict=True)):
            own = means[means["metric"] == metric].set_index("stage")
            rows = 100 * own[["error", "low", "high"]].reindex(stages)
            places = np.arange(len(stages))
            ax.barh(places, rows["error"], height=0.6, color=style.colour(index), alpha=0.75)
            reach = np.abs(rows[["low", "high"]].to_numpy().T - rows["error"].to_numpy())
            ax.errorbar(rows["error"], places, xerr=reach, fmt="none", ecolor="#222222", elinewidth=1.0, capsize=3)
            ax.axvline(0, color="#555555", linewidth=0.8)
            ax.set_title(_TITLES[metric], loc="left", fontweight="bold")
            ax.set_xlabel("error of the mean (%)")
            ax.xaxis.set_major_locator(MaxNLocator(4))  # labels of small errors are long
            ax.grid(axis="y", visible=False)
        axes[0].set_yticks(np.arange(len(stages)), stages)
        axes[0].invert_yaxis()
        more = f" Without {counted(rest, 'smaller stage')}." if rest else ""
        style.add_caption(figure, f"Bars: simulated / {measured_label} - 1; whiskers: 95% intervals.{more} {caption}")
    return figure


def waterfall(split: pd.DataFrame, *, measured_label: str = "measured", caption: str = "") -> Figure:
    """From the mean measured JCT to the simulated one, part by part of the critical path.

    Parameters
    ----------
    split : pandas.DataFrame
        Of `analysis.comparison.split.error_split`, not empty.
    measured_label : str
        What the second run is: "virtual device" is not measured hardware.
    caption : str
        See `analysis.plots.style.add_caption`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When no application completed in both runs.
    """
    if split.empty:
        raise ValueError("split has 0 rows: no application completed in both runs")
    means = split.mean(numeric_only=True) / 1e9
    measured, simulated = float(means["jct_measured"]), float(means["jct_simulated"])
    steps = [float(means[name]) for name in PART_NAMES]
    heights = [measured, *steps, simulated]
    bottoms = [0.0, *(measured + sum(steps[:index]) for index in range(len(steps))), 0.0]
    colours = ["#888888", *(style.PALETTE[1] if step > 0 else style.PALETTE[0] for step in steps), "#444444"]
    labels = [measured_label, *(PART_LABELS[name].replace(", ", ",\n") for name in PART_NAMES), "simulated"]
    with rc_context(style.SETTINGS):
        figure = style.new_figure(8.0, 3.4)
        ax = figure.subplots()
        ax.bar(range(len(heights)), heights, bottom=bottoms, color=colours, width=0.62)
        tops = [max(bottom, bottom + height) for bottom, height in zip(bottoms, heights, strict=True)]
        for index, (height, top) in enumerate(zip(heights, tops, strict=True)):
            is_part = 0 < index < len(heights) - 1
            text = f"{height:+.3f} s\n{100 * height / measured:+.2f}%" if is_part else f"{height:.3f} s"
            ax.annotate(text, (index, top), xytext=(0, 3), textcoords="offset points", ha="center", fontsize=8)
        joints = [measured + sum(steps[:index]) for index in range(len(steps) + 1)]
        for index, level in enumerate(joints):
            ax.plot([index + 0.31, index + 0.69], [level, level], color="#888888", linewidth=0.8)
        ax.set_xticks(range(len(heights)), labels)
        ax.set_ylabel("mean JCT (s)")
        ax.set_ylim(*_zoomed(joints))
        ax.grid(axis="x", visible=False)
        note = "The axis does not begin at 0. " if ax.get_ylim()[0] > 0 else ""
        note += f"Mean over {counted(len(split), 'application')}; orange adds to the JCT, blue takes away. "
        style.add_caption(figure, note + caption)
    return figure


def _zoomed(levels: list[float]) -> tuple[float, float]:
    """Limits that show the steps between the levels: small errors would vanish on an axis from 0."""
    low, high = min(levels), max(levels)
    span = high - low
    bottom = low - 0.6 * span
    return (bottom if bottom > 0.3 * high else 0.0), high + max(0.3 * span, 0.03 * high if bottom <= 0.3 * high else 0)
