"""How the steps of a sample follow each other: each after the one before, and none before its launch is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sim.fitting.samples import Sample
from sim.step_cost import NO_LAUNCH, Launch, ProfiledStepCost

#: A launch that seems to last no longer than this multiple of the step ahead on the device may be hidden by it.
_SEEN = 1.1


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
    launched : tuple of int
        Steps that these launch.
    has_idle_start : bool
        Whether the start of an idle engine counts.
    """

    seconds: float
    steps: tuple[int, ...]
    launch_seconds: float
    launched: tuple[int, ...]
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
    launched: list[int] = []
    launch_seconds, index = 0.0, len(seconds) - 1
    while index >= 0:
        if is_bound[index]:
            launch_seconds += launches[index]
            launched.append(index)
            if index == 0 and sample.asynchronous:
                return Window(ends[-1], tuple(steps), launch_seconds, tuple(launched), False)
            index -= behind
        else:
            steps.append(index)
            index -= 1
    return Window(ends[-1], tuple(steps), launch_seconds, tuple(launched), sample.is_first)


def launches_of(sample: Sample, seconds: Sequence[float], after: Sequence[float]) -> list[float]:
    """For each step of a sample the shortest time from its planning to its end, as `window_of` takes them.

    Parameters
    ----------
    sample : Sample
        Whose launches were measured; that of an idle engine's first step counts as such.
    seconds : sequence of float
        What each step takes on the device.
    after : sequence of float
        From the end of the launch of each to its earliest end.
    """
    ahead = [0.0, *seconds[:-1]]
    return [
        launch + rest if launch > _SEEN * before else 0.0
        for launch, before, rest in zip(sample.launches, ahead, after, strict=True)
    ]


def sample_seconds(cost: ProfiledStepCost, sample: Sample, idle_start: float) -> float:
    """What a sample takes on engines with this step cost, with its own launches where they were measured."""
    slowdown = cost.sustained_slowdown() if sample.is_power_bound else 0.0
    seconds = [(1 + slowdown) * cost.step(*load) for load in sample.loads]
    launches = [cost.launch(load.num_decodes, load.num_tokens) if load.prefills else NO_LAUNCH for load in sample.loads]
    if not (sample.launches and cost.terms.launch_holds_core):
        return _usual_seconds(sample, seconds, launches, idle_start)
    measured = launches_of(sample, seconds, [launch.after for launch in launches])
    return window_of(sample, seconds, measured, idle_start).seconds


def _usual_seconds(sample: Sample, seconds: Sequence[float], launches: Sequence[Launch], idle_start: float) -> float:
    """What a sample takes with the launches of a profile.

    Notes
    -----
    With asynchronous scheduling a step is planned when the core notes the end of the one before the last, and it may
    note that of the last no sooner than it has launched the step. When the first step of a window was planned is known
    only of idle engines.
    """
    end = idle_start if sample.is_first else 0.0
    planned_at = 0.0
    for index, (duration, launch) in enumerate(zip(seconds, launches, strict=True)):
        is_known = sample.asynchronous and (index > 0 or sample.is_first)
        launched_at = planned_at + launch.seconds if is_known else 0.0
        planned_at = max(end, launched_at if launch.holds_core else 0.0)  # of the next step
        end = max(end + duration, launched_at + launch.after if launched_at else 0.0)
    return end
