"""How the steps of a sample follow each other: each after the one before, and none before its launch is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sim.fitting.samples import Sample
from sim.step_cost import StepCost


class Window(NamedTuple):
    """What the time of a sample is made of.

    Parameters
    ----------
    seconds : float
        From its beginning to the end of its last step.
    steps : tuple of int
        Steps whose own durations count; the others are hidden behind a launch.
    launch_seconds : float
        Launches that count instead.
    has_idle_start : bool
        Whether the start of an idle engine counts.
    """

    seconds: float
    steps: tuple[int, ...]
    launch_seconds: float
    has_idle_start: bool


def window_of(sample: Sample, seconds: Sequence[float], launches: Sequence[float], idle_start: float) -> Window:
    """Put the steps of a sample one after the other.

    Parameters
    ----------
    sample : Sample
    seconds : sequence of float
        What each step takes on the device.
    launches : sequence of float
        Shortest time from its planning to its end, 0 where no such bound is.
    idle_start : float, seconds
        What the first step of an idle engine takes longer.

    Notes
    -----
    With asynchronous scheduling a step is planned when the one before it begins, else when that one ends
    (`sim.step_cost.StepCost.launch`). When the first step of a window was planned is known only of idle engines.
    """
    begin = idle_start if sample.is_first else 0.0
    ends: list[float] = []
    is_bound: list[bool] = []
    behind = 2 if sample.asynchronous else 1
    for index, (duration, launch) in enumerate(zip(seconds, launches, strict=True)):
        end = (ends[-1] if ends else begin) + duration
        planned = ends[index - behind] if index >= behind else begin
        if index == 0 and sample.asynchronous:
            planned = 0.0 if sample.is_first else end - launch
        is_bound.append(bool(launch) and planned + launch > end)
        ends.append(max(end, planned + launch) if launch else end)
    steps: list[int] = []
    launch_seconds, index = 0.0, len(seconds) - 1
    while index >= 0:
        if is_bound[index]:
            launch_seconds += launches[index]
            if index == 0 and sample.asynchronous:
                return Window(ends[-1], tuple(steps), launch_seconds, False)
            index -= behind
        else:
            steps.append(index)
            index -= 1
    return Window(ends[-1], tuple(steps), launch_seconds, sample.is_first)


def sample_seconds(cost: StepCost, sample: Sample, idle_start: float) -> float:
    """What a sample takes on engines with this step cost."""
    slowdown = cost.sustained_slowdown() if sample.is_power_bound else 0.0
    seconds = [(1 + slowdown) * cost.step(*load) for load in sample.loads]
    launches = [cost.launch(load.num_tokens) if load.prefills else 0.0 for load in sample.loads]
    return window_of(sample, seconds, launches, idle_start).seconds
