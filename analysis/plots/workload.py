"""A workload in one picture: when applications arrive, how long prompts and outputs are, how wide the graphs are."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.graph import levels
from analysis.plots import style
from analysis.plots.cdf import cdf_points
from traces.wording import counted
from traces.workload import Workload, num_prompt_tokens

_NUM_BINS = 60
_MAX_STAGES = 6


def describe_workload(workload: Workload, *, caption: str = "") -> Figure:
    """Arrivals over time, prompt and output length distributions per stage, and calls per depth of the graphs.

    Parameters
    ----------
    workload : Workload
    caption : str
        Where the workload comes from, its parameters and seed.

    Returns
    -------
    matplotlib.figure.Figure
    """
    lengths = call_lengths(workload)
    with rc_context(style.SETTINGS):
        figure = style.new_figure(8.5, 5.6)
        (arrivals, widths), (prompts, outputs) = figure.subplots(2, 2)
        _draw_arrivals(arrivals, np.array([application.arrival for application in workload.applications]))
        _draw_widths(widths, level_widths(workload))
        _draw_lengths(prompts, lengths, "prompt_tokens")
        _draw_lengths(outputs, lengths, "output_tokens")
        sizes = f"{counted(len(workload.applications), 'application')}, {counted(len(lengths), 'call')}"
        figure.suptitle(f"{workload.name}: {sizes}")
        style.add_caption(figure, caption)
    return figure


def call_lengths(workload: Workload) -> pd.DataFrame:
    """One row a call: `stage`, `prompt_tokens`, `output_tokens`."""
    rows: list[tuple[str, int, int]] = []
    for application in workload.applications:
        outputs = {call.id: call.output_tokens for call in application.calls}
        rows.extend((call.stage, num_prompt_tokens(call, outputs), call.output_tokens) for call in application.calls)
    return pd.DataFrame(rows, columns=["stage", "prompt_tokens", "output_tokens"])


def level_widths(workload: Workload) -> pd.DataFrame:
    """One row a depth: `mean` and `largest` number of calls there, over the applications that are that deep.

    The index is the depth, 1 for calls without dependencies, as in `traces.describe`.
    """
    widths: dict[int, list[int]] = defaultdict(list)
    for application in workload.applications:
        for depth, level in enumerate(levels(application), start=1):
            widths[depth].append(len(level))
    rows = [(float(np.mean(values)), max(values)) for _, values in sorted(widths.items())]
    return pd.DataFrame(rows, columns=["mean", "largest"], index=sorted(widths))


def _draw_arrivals(ax: Axes, instants: np.ndarray) -> None:
    """Applications per second in equal bins; a single instant has no rate and is written out."""
    ax.set_title("arrivals", loc="left", fontweight="bold")
    ax.set_xlabel("time since the start of the run (s)")
    if np.ptp(instants) == 0:
        count = "the only application arrives" if len(instants) == 1 else f"all {len(instants):,} applications arrive"
        ax.text(0.5, 0.5, f"{count} at {instants[0]:g} s", ha="center", va="center", transform=ax.transAxes)
        ax.set_xticks([])
        ax.set_yticks([])
        return
    counts, edges = np.histogram(instants, bins=min(_NUM_BINS, max(5, len(instants) // 5)))
    width = edges[1] - edges[0]
    ax.stairs(counts / width, edges, fill=True, color=style.colour(0), alpha=0.35)
    ax.stairs(counts / width, edges, color=style.colour(0))
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(bottom=0)
    ax.set_ylabel(f"applications per second\n(bins of {width:.3g} s)")


def _draw_lengths(ax: Axes, lengths: pd.DataFrame, column: str) -> None:
    """One distribution a stage on a logarithmic axis; with more than six stages, the six largest."""
    stages = list(lengths["stage"].value_counts().index)
    for index, stage in enumerate(stages[:_MAX_STAGES]):
        values = lengths.loc[lengths["stage"] == stage, column]
        tokens, shares = cdf_points(values)
        label = f"{stage} (median {values.median():,.0f})"
        width = max(1.3, 2.9 - 0.8 * index)  # equal lines show all colours
        look: dict[str, Any] = {"color": style.colour(index), "linestyle": style.dashes(index), "linewidth": width}
        ax.plot(np.maximum(tokens, 1), shares, drawstyle="steps-post", label=label, **look)
    _logarithmic_axis(ax, lengths[column])
    ax.set_ylim(0, 1.03)
    name = column.removesuffix("_tokens")
    rest = f" (+ {counted(len(stages) - _MAX_STAGES, 'smaller stage')} not drawn)" if len(stages) > _MAX_STAGES else ""
    ax.set_title(f"{name} length{rest}", loc="left", fontweight="bold")
    ax.set_xlabel(f"{name} tokens")
    ax.set_ylabel("share of calls")
    ax.legend(loc="best", fontsize=7.5, handlelength=2.6)


def _logarithmic_axis(ax: Axes, tokens: pd.Series) -> None:
    """Limits a little wider than the data and at least a factor of ten apart; few enough ticks to be read."""
    low, high = max(float(tokens.min()), 1.0), max(float(tokens.max()), 1.0)
    spread = max(1.3, (12 * low / high) ** 0.5)
    ax.set_xscale("log")
    ax.set_xlim(low / spread, high * spread)
    style.plain_log_ticks(ax.xaxis, within_decades=high / low < 100)


def _draw_widths(ax: Axes, widths: pd.DataFrame) -> None:
    """Mean width as bars and the widest application as marks; many depths become a line."""
    depths = widths.index.to_numpy()
    if len(widths) <= 40:
        ax.bar(depths, widths["mean"], width=0.7, color=style.colour(0), alpha=0.6, label="mean")
        ax.plot(depths, widths["largest"], "_", color=style.colour(1), markersize=12, mew=2, label="largest")
    else:
        ax.plot(depths, widths["mean"], color=style.colour(0), label="mean")
        ax.plot(depths, widths["largest"], color=style.colour(1), linestyle=style.dashes(1), label="largest")
    ax.set_title("graph width by depth", loc="left", fontweight="bold")
    ax.set_xlabel("depth in the graph")
    ax.set_ylabel("calls of one application")
    ax.set_ylim(0, 1.3 * float(widths["largest"].max()))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    if len(widths) < 3:
        ax.set_xlim(0, len(widths) + 1)  # bars of one or two depths would be as wide as the picture
    ax.legend(loc="upper right", fontsize=7.5, ncols=2)
