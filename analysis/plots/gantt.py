"""Gantt chart of calls on engines: what ran where and when, several policies on one time axis.

One band an engine; calls that overlap in time get lanes of their own. The stage gives the colour, the shade says what
the call was doing: waiting (light: held by the coordinator or queued in the engine), prefill (dark), decode (full).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis import metrics
from analysis.plots import style
from analysis.stages import largest_stages

#: Lanes a panel may have before waiting is left out and, if that is not enough, lanes become thinner than a line.
MAX_LANES_WITH_WAITING = 120

#: Name under which stages share a colour when there are more of them than colours.
OTHER_STAGES = "(other stages)"

_INCHES_PER_LANE = 0.085
_PANEL_HEIGHT = (1.2, 5.0)  # least and most, inches
_BAND_GAP = 0.8  # free lanes between two engines

#: Parts of a call's life: label, columns of its start and end, colour it is mixed with and how much of it.
_PHASES = (
    ("waiting", "submitted_at", "scheduled_at", "white", 0.72),
    ("prefill", "scheduled_at", "first_token_at", "black", 0.45),
    ("decode", "first_token_at", "finished_at", "white", 0.0),
)


@dataclass(frozen=True, slots=True)
class Panel:
    """One policy's calls, placed.

    Parameters
    ----------
    title : str
        Policy, and what is not drawn.
    calls : pandas.DataFrame
        Drawn calls with a column `y`, the top of the lane counted downwards.
    bands : tuple of (engine, top, bottom)
        Where each engine's lanes are.
    with_waiting : bool
    until : float
        Instant up to which the panel shows every call, seconds.
    """

    title: str
    calls: pd.DataFrame
    bands: tuple[tuple[object, float, float], ...]
    with_waiting: bool
    until: float

    @property
    def num_lanes(self) -> float:
        """Height of the panel in lanes."""
        return self.bands[-1][2]


def gantt(runs: Mapping[str, pd.DataFrame], *, caption: str = "", max_calls: int = 3000) -> Figure:
    """Calls on engines over time, one panel a policy.

    Parameters
    ----------
    runs : dict of policy name to pandas.DataFrame
        Call records, columns `traces.records.CALL_COLUMNS`.
    caption : str
        See `analysis.plots.style.add_caption`.
    max_calls : int
        Most calls a panel draws: the first to be scheduled. The time axis then ends where the first call that is not
        drawn would begin, and the panel's title says how many there are.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When there is no run, or a run has no completed call.
    """
    if not runs:
        raise ValueError("runs={} must name at least one run")
    panels = [place(policy, calls, max_calls) for policy, calls in runs.items()]
    stages = legend_stages(pd.concat([panel.calls["stage"] for panel in panels]))
    heights = [float(np.clip(panel.num_lanes * _INCHES_PER_LANE, *_PANEL_HEIGHT)) for panel in panels]
    with rc_context(style.SETTINGS):
        figure = style.new_figure(9.0, sum(heights) + 0.35 * len(panels) + 0.9)
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for ax, panel in zip(axes, panels, strict=True):
            _draw(ax, panel, stages)
        axes[-1].set_xlabel("time since the start of the run (s)")
        axes[-1].set_xlim(*_time_range(panels))
        handles = _legend(stages, any(panel.with_waiting for panel in panels))
        style.add_legend(figure, handles, [str(handle.get_label()) for handle in handles], handlelength=1.4)
        style.add_caption(figure, caption)
    return figure


def place(policy: str, calls: pd.DataFrame, max_calls: int) -> Panel:
    """Choose the calls to draw and give each a lane."""
    done = metrics.completed(calls).sort_values(["scheduled_at", "finished_at"], kind="stable")
    if done.empty:
        raise ValueError(f"run {policy!r} has no completed call to draw")
    drawn = done[:max_calls]
    with_waiting = True
    placed, bands = _stack(drawn, "submitted_at")
    if bands[-1][2] > MAX_LANES_WITH_WAITING:  # waiting calls would squeeze the running ones into a line
        with_waiting = False
        placed, bands = _stack(drawn, "scheduled_at")
    notes = [] if len(drawn) == len(done) else [f"first {len(drawn):,} of {len(done):,} calls"]
    notes += [] if with_waiting else ["waiting not drawn"]
    title = f"{policy} ({', '.join(notes)})" if notes else policy
    until = float(done["scheduled_at"].iloc[max_calls]) if len(drawn) < len(done) else float("inf")
    return Panel(title, placed, bands, with_waiting, until)


def legend_stages(stage_of_call: pd.Series) -> list[str]:
    """Stages that get a colour of their own, in order of appearance; beyond six, the smaller ones share the last."""
    stages = list(stage_of_call.unique())
    if len(stages) <= len(style.PALETTE):
        return stages
    return [*largest_stages(stage_of_call, len(style.PALETTE) - 1), OTHER_STAGES]


def lanes(starts: Sequence[float], ends: Sequence[float]) -> list[int]:
    """Lane of each interval so that no two in a lane overlap, with as few lanes as possible.

    Parameters
    ----------
    starts, ends : sequence of float, seconds

    Notes
    -----
    Greedy interval partitioning: in order of start, take the lowest lane that is free. The number of lanes is the
    largest number of intervals open at once.

    Examples
    --------
    >>> lanes([0.0, 0.5, 1.0], [1.0, 2.0, 3.0])
    [0, 1, 0]
    """
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    chosen = [0] * len(starts)
    for index in sorted(range(len(starts)), key=lambda index: (starts[index], ends[index])):
        while busy and busy[0][0] <= starts[index]:
            heapq.heappush(free, heapq.heappop(busy)[1])
        chosen[index] = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (ends[index], chosen[index]))
    return chosen


def _stack(calls: pd.DataFrame, start: str) -> tuple[pd.DataFrame, tuple[tuple[object, float, float], ...]]:
    """Lanes engine by engine, one band below the other."""
    parts, bands, top = [], [], 0.0
    for engine, own in calls.groupby("engine"):
        lane = np.array(lanes(list(own[start]), list(own["finished_at"])))
        parts.append(own.assign(y=top + lane))
        bands.append((engine, top, top + lane.max() + 1))
        top = bands[-1][2] + _BAND_GAP
    return pd.concat(parts), tuple(bands)


def _time_range(panels: Sequence[Panel]) -> tuple[float, float]:
    """From the first arrival to the last finish, or to where the first panel stops being complete."""
    begin = min(float(panel.calls["app_arrived_at"].min()) for panel in panels)
    end = max(float(panel.calls["finished_at"].max()) for panel in panels)
    end = min([end + 0.01 * (end - begin), *(panel.until for panel in panels)])
    return begin, max(end, begin + 1e-9)


def _draw(ax: Axes, panel: Panel, stages: Sequence[str]) -> None:
    """Bands, then one collection a stage and phase: thousands of rectangles stay quick."""
    is_dense = panel.num_lanes > MAX_LANES_WITH_WAITING
    look: dict[str, Any] = {
        "antialiased": not is_dense,
        "edgecolor": "white",
        "linewidth": 0.3 if len(panel.calls) <= 600 else 0.0,
    }
    for _, top, bottom in panel.bands:
        ax.axhspan(top, bottom, color="#f4f4f4", zorder=0)
    for index, stage in enumerate(stages):
        is_own = panel.calls["stage"] == stage if stage != OTHER_STAGES else ~panel.calls["stage"].isin(stages)
        own = panel.calls[is_own]
        for label, start, end, other, share in _PHASES:
            if label != "waiting" or panel.with_waiting:
                face = style.blend(style.colour(index), other, share)
                corners = _rectangles(own, start, end, 0.0 if is_dense else 0.06)
                ax.add_collection(PolyCollection(list(corners), facecolor=face, **look))
    ax.set_ylim(panel.num_lanes + 0.3, -0.3)
    ax.set_yticks([(top + bottom) / 2 for _, top, bottom in panel.bands])
    ax.set_yticklabels([f"engine {engine}" for engine, _, _ in panel.bands])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    ax.set_title(panel.title, loc="left", fontweight="bold")


def _rectangles(calls: pd.DataFrame, start: str, end: str, margin: float) -> np.ndarray:
    """Corners of one rectangle a call, (num_calls, 4, 2): seconds and lanes, `margin` lanes free on either side."""
    left, right = calls[start].to_numpy(float), calls[end].to_numpy(float)
    top, bottom = calls["y"].to_numpy(float) + margin, calls["y"].to_numpy(float) + 1 - margin
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)


def _legend(stages: Sequence[str], with_waiting: bool) -> list[Patch]:
    """Stages by colour, then phases by shade of grey."""
    by_stage = [Patch(color=style.colour(index), label=stage) for index, stage in enumerate(stages)]
    phases = [phase for phase in _PHASES if with_waiting or phase[0] != "waiting"]
    by_phase = [Patch(color=style.blend("#888888", other, share), label=label) for label, _, _, other, share in phases]
    return by_stage + by_phase
