"""How wrong the simulated step time is, for every measured step: over batch size, context and prefill tokens."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.comparison.recost import price, step_times, thinned
from analysis.plots import style
from traces.wording import counted

#: Most dots of a kind.
MAX_DOTS = 4000

#: What a residual is drawn over: column, label.
_OVER = (
    ("num_decodes", "decoding calls in the step"),
    ("num_context_tokens", "context tokens read"),
    ("num_prefill_tokens", "prefill tokens in the step"),
)


def step_residuals(
    simulated: pd.DataFrame, measured: pd.DataFrame, *, measured_label: str = "measured", caption: str = ""
) -> Figure:
    """Error of the simulated step time: price of each measured step in the simulation / its measured time - 1.

    Parameters
    ----------
    simulated, measured : pandas.DataFrame
        Columns `traces.records.STEP_COLUMNS`; neither without a step.
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
        When a run recorded no steps.
    """
    times, reference = thinned(step_times(measured)), step_times(simulated)
    if times.empty or reference.empty:
        raise ValueError("steps have 0 rows in one of the runs, so there is no step time to compare")
    frame = times.assign(residual=100 * (price(times, reference)["price"] / times["step_time"] - 1))
    frame = frame[np.isfinite(frame["residual"])]
    is_mixed = frame["num_prefill_tokens"] > 0
    kinds = {"decode only": frame[~is_mixed], "with prefill": frame[is_mixed]}
    with rc_context(style.SETTINGS):
        figure = style.new_figure(9.0, 3.2)
        axes = figure.subplots(1, len(_OVER), sharey=True)
        for ax, (column, label) in zip(axes, _OVER, strict=True):
            _panel(ax, kinds if column != "num_prefill_tokens" else {"with prefill": kinds["with prefill"]}, column)
            ax.set_xlabel(label)
        axes[0].set_ylabel("error of the step time (%)")
        axes[0].set_ylim(*_limits(frame["residual"]))
        style.add_legend(figure, *axes[0].get_legend_handles_labels(), handlelength=1.6)
        style.add_caption(figure, f"{_summary(frame, measured_label)} {caption}")
    return figure


def _panel(ax: Axes, kinds: dict[str, pd.DataFrame], column: str) -> None:
    ax.axhspan(-5, 5, color="#bbbbbb", alpha=0.35, lw=0, label="within 5%")
    ax.axhline(0, color="#555555", linewidth=0.8)
    for name, frame in kinds.items():
        drawn = frame.iloc[:: 1 + len(frame) // MAX_DOTS]
        index = 0 if name == "decode only" else 1
        ax.scatter(drawn[column], drawn["residual"], s=5, color=style.colour(index), alpha=0.5, lw=0, label=name)


def _limits(residual: pd.Series) -> tuple[float, float]:
    """Room for all but the outermost hundredth, and for the band in any case."""
    low, high = residual.quantile([0.005, 0.995])
    return min(float(low) * 1.2, -8.0), max(float(high) * 1.2, 8.0)


def _summary(frame: pd.DataFrame, measured_label: str) -> str:
    """Median and 95th percentile of the absolute residual, a step counted as often as it ran."""
    absolute = np.repeat(frame["residual"].abs().to_numpy(), frame["count"].clip(upper=1000))
    median, p95 = np.quantile(absolute, [0.5, 0.95]) if len(absolute) else (np.nan, np.nan)
    num_steps = int(frame["count"].sum())
    shown = f"{counted(num_steps, 'step')}, absolute error: median {median:.1f}%, p95 {p95:.1f}%"
    return f"Error: price in the simulation / {measured_label} - 1; {shown}."
