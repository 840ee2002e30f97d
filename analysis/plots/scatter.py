"""Simulated against measured, one dot a call or application, with the diagonal and the band of 5% on either side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.comparison.compare import Comparison
from analysis.comparison.errors import call_seconds
from analysis.plots import style
from analysis.stages import largest_stages

#: Most dots of a panel: every k-th of the sorted measured values, which keeps the ends.
MAX_DOTS = 4000

#: Half the width of the band.
BAND = 0.05

#: Values that span more than this factor get logarithmic axes.
_LOGARITHMIC = 30.0


def scatter(comparison: Comparison, *, measured_label: str = "measured", caption: str = "") -> Figure:
    """TTFT and E2E latency of every call and JCT of every application, simulated over measured.

    Parameters
    ----------
    comparison : Comparison
    measured_label : str
        What the second run is: "virtual device" is not measured hardware.
    caption : str
        See `analysis.plots.style.add_caption`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    seconds = call_seconds(comparison.matched)
    split = comparison.split
    applications = pd.DataFrame(
        {"measured": split["jct_measured"] / 1e9, "simulated": split["jct_simulated"] / 1e9, "stage": ""}
    )
    with rc_context(style.SETTINGS):
        figure = style.new_figure(9.0, 3.6)
        axes = figure.subplots(1, 3)
        stages = largest_stages(seconds["stage"], len(style.PALETTE))
        for ax, metric in zip(axes[:2], ("ttft", "e2e"), strict=True):
            pairs = seconds.rename(columns={f"{metric}_measured": "measured", f"{metric}_simulated": "simulated"})
            _panel(ax, pairs[["measured", "simulated", "stage"]], stages)
        _panel(axes[2], applications, [""])
        for ax, title in zip(axes, ("TTFT of calls", "E2E latency of calls", "JCT of applications"), strict=True):
            ax.set_title(title, loc="left", fontweight="bold", pad=16)
            ax.set_xlabel(f"{measured_label} (s)")
        axes[0].set_ylabel("simulated (s)")
        handles, labels = axes[0].get_legend_handles_labels()
        style.add_legend(figure, handles, labels, handlelength=1.6)
        style.add_caption(figure, caption)
        _make_square(figure)
    return figure


def _make_square(figure: Figure) -> None:
    """Equal scales in the places that the panels have; laid out after that, they would lie over caption and legend."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for ax in figure.axes:
        ax.set_aspect("equal", adjustable="box")


def thinned(pairs: pd.DataFrame, most: int = MAX_DOTS) -> pd.DataFrame:
    """At most `most` rows, evenly spaced in the order of the measured values, the smallest and largest included."""
    defined = pairs.dropna().sort_values("measured", kind="stable")
    if len(defined) <= most:
        return defined
    return defined.iloc[np.linspace(0, len(defined) - 1, most).round().astype(int)]


def _panel(ax: Axes, pairs: pd.DataFrame, stages: list[str]) -> None:
    drawn = thinned(pairs)
    if drawn.empty:
        ax.text(0.5, 0.5, "none completed in both", ha="center", va="center", color="#777777", transform=ax.transAxes)
        return
    low, high = _limits(ax, drawn)
    line = np.geomspace(low, high, 200) if ax.get_xscale() == "log" else np.array([low, high])
    ax.fill_between(line, line * (1 - BAND), line * (1 + BAND), color="#bbbbbb", alpha=0.45, lw=0, label="within 5%")
    ax.plot(line, line, color="#555555", linewidth=0.8)
    size = 14 if len(drawn) <= 300 else 5
    for index, stage in enumerate(stages):
        own = drawn[drawn["stage"] == stage]
        ax.scatter(
            own["measured"], own["simulated"], s=size, color=style.colour(index), alpha=0.6, lw=0, label=stage or None
        )
    inside = (pairs["simulated"] / pairs["measured"] - 1).abs().le(BAND).mean()
    rest = f", {len(drawn):,} drawn" if len(drawn) < len(pairs) else ""
    ax.text(0, 1.02, f"n = {len(pairs):,}{rest}; {100 * inside:.0f}% within 5%", fontsize=7.5, transform=ax.transAxes)


def _limits(ax: Axes, drawn: pd.DataFrame) -> tuple[float, float]:
    """Equal limits of both axes around the dots; logarithmic where the values span more than a factor of thirty."""
    values = drawn[["measured", "simulated"]].to_numpy(float)
    positive = values[values > 0]
    high = float(values.max()) * 1.08
    if len(positive) == values.size and high / positive.min() > _LOGARITHMIC:
        low = float(positive.min()) / 1.3
        ax.set_xscale("log")
        ax.set_yscale("log")
    else:
        low = 0.0
    high = max(high, low + 1e-9)
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    return low, high
