"""Latency distributions of several runs side by side: one panel a stage and metric, one line a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import metrics
from analysis.plots import style
from analysis.stages import largest_stages
from traces.wording import counted

#: Most points of one line; longer samples are drawn at evenly spaced quantiles, which at this number looks the same.
MAX_POINTS = 1000

#: Samples up to this size show each call as a dot, because a step of 1/n is then worth seeing.
MAX_DOTS = 12

#: Axis title, unit and scale from seconds of each metric.
_AXES = {
    "ttft": ("TTFT", "s", 1.0),
    "tpot": ("TPOT", "ms", 1e3),
    "e2e": ("E2E latency", "s", 1.0),
    "hold_time": ("hold time", "s", 1.0),
    "queue_time": ("queue time in the engine", "s", 1.0),
}


def latency_cdf(
    runs: Mapping[str, pd.DataFrame], *, caption: str = "", shown: Sequence[str] = ("ttft", "e2e"), max_stages: int = 5
) -> Figure:
    """Cumulative distribution of call latencies per stage, several policies in each panel.

    Parameters
    ----------
    runs : dict of policy name to pandas.DataFrame
        Call records, columns `traces.records.CALL_COLUMNS`.
    caption : str
        See `analysis.plots.style.add_caption`.
    shown : sequence of str
        Metrics of `analysis.metrics.CALL_METRICS`, one row of panels each.
    max_stages : int
        Panels a row; with more stages the largest are drawn and the title counts the rest.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When no run has a completed call.
    """
    measured = {policy: metrics.call_metrics(calls) for policy, calls in runs.items()}
    stages, num_left_out = _panel_stages(measured, max_stages)
    with rc_context(style.SETTINGS):
        figure = style.new_figure(max(6.0, 2.7 * len(stages) + 0.6), 2.3 * len(shown) + 0.9)
        axes = figure.subplots(len(shown), len(stages), squeeze=False, sharey=True)
        for row, metric in zip(axes, shown, strict=True):
            for ax, stage in zip(row, stages, strict=True):
                samples = {policy: frame.loc[frame["stage"] == stage, metric] for policy, frame in measured.items()}
                title, unit, scale = _AXES[metric]
                _panel(ax, samples, scale)
                ax.set_xlabel(f"{title} ({unit})")
            row[0].set_ylabel("share of calls")
        _stage_titles(axes[0], stages, measured, num_left_out)
        style.add_legend(figure, *axes[0][0].get_legend_handles_labels(), handlelength=3)
        style.add_caption(figure, caption)
    return figure


def _panel_stages(measured: Mapping[str, pd.DataFrame], max_stages: int) -> tuple[list[str], int]:
    """Stages that get a panel, and how many are left out."""
    together = pd.concat(list(measured.values()))["stage"] if measured else pd.Series(dtype=object)
    if together.empty:
        raise ValueError("runs hold no completed call, so there is no latency to draw")
    stages = largest_stages(together, max_stages)
    return stages, together.nunique() - len(stages)


def cdf_points(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Steps of an empirical distribution: values and shares from 0 to 1, both (num_points,); empty without values."""
    ordered = np.sort(values.dropna().to_numpy(dtype=float))
    if len(ordered) > MAX_POINTS:
        ordered = np.quantile(ordered, np.linspace(0, 1, MAX_POINTS), method="inverted_cdf")
    if not len(ordered):
        return ordered, ordered
    shares = np.arange(len(ordered) + 1) / len(ordered)
    return np.concatenate([ordered[:1], ordered]), shares


def _panel(ax: Axes, samples: Mapping[str, pd.Series], scale: float) -> None:
    """One line a policy; earlier ones are wider, so that equal lines show all colours. The axis begins at 0."""
    for index, (policy, values) in enumerate(samples.items()):
        seconds, shares = cdf_points(values)
        width = 1.4 + 0.9 * (len(samples) - 1 - index)
        look: dict[str, Any] = {"color": style.colour(index), "linestyle": style.dashes(index), "linewidth": width}
        ax.plot(seconds * scale, shares, drawstyle="steps-post", label=policy, **look)
        if len(values) <= MAX_DOTS:
            ax.plot(seconds[1:] * scale, shares[1:], "o", color=style.colour(index), markersize=2.5 + width)
    ax.set_ylim(0, 1.03)
    largest = max((float(values.max()) for values in samples.values() if values.notna().any()), default=None)
    if largest is None:
        ax.text(0.5, 0.5, "undefined", ha="center", va="center", color="#777777", transform=ax.transAxes)
    elif largest > 0:
        ax.set_xlim(0, 1.06 * largest * scale)


def _stage_titles(axes: Sequence[Axes], stages: Sequence[str], measured: Mapping[str, pd.DataFrame], rest: int) -> None:
    """Stage and sample size above each column; the last one also says how many stages are not drawn."""
    for ax, stage in zip(axes, stages, strict=True):
        sizes = sorted({int((frame["stage"] == stage).sum()) for frame in measured.values()})
        size = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        ax.set_title(f"{stage} (n = {size})", loc="left", fontweight="bold")
    if rest:
        axes[-1].set_title(f"(+ {counted(rest, 'more stage')})", loc="right", fontsize=7, y=1.08)
