"""When the steps of a virtual device begin and end."""

from __future__ import annotations

from typing import NamedTuple

from realexec.step_load import StepLoad
from sim.profile import Profile
from sim.sustained import SustainedPrefill


class Span(NamedTuple):
    """Instants of one step, seconds on one clock; until `launched_at` the engine core is held up by the launch."""

    launched_at: float
    finished_at: float


class DeviceTimeline:
    """Steps one after the other, as a GPU works off its stream.

    Parameters
    ----------
    profile : Profile
    async_scheduling : bool

    Notes
    -----
    A step starts when it is planned, or when the step before it ends; one with prefills lasts at least until its launch
    is over and holds up the core until then (`sim.step_cost.StepCost.launch`), and one in a long row of prefills takes
    longer (`sim.sustained`). Of the profile's overheads only those count that vLLM's own code does not spend here:
    `idle_start` and `idle_wakeup`, the model runner's launch of an idle engine's first step, which no earlier step
    hides and during which the core plans nothing. What a call pays between its client and the core (`client_to_engine`,
    `engine_to_client`, `submit_interval`) really happens.

    With synchronous scheduling the profile's host time between two steps contains vLLM's scheduling, which really
    happens too; so it counts from the end of the step before, and a plan that comes within it adds nothing.
    """

    def __init__(self, profile: Profile, async_scheduling: bool) -> None:
        self._device_cost = profile.step_cost(async_scheduling=True)
        self._step_cost = profile.step_cost(async_scheduling)
        self._sustained = SustainedPrefill(self._device_cost.sustained_slowdown())
        self._start = profile.overheads.idle_start
        self._wake = profile.overheads.idle_wakeup if async_scheduling else 0.0
        self._finished_at = 0.0  # of the last step

    def add(self, load: StepLoad, now: float, *, is_first: bool) -> Span:
        """Place the next step.

        Parameters
        ----------
        load : StepLoad
        now : float, seconds
            When it was planned.
        is_first : bool
            Whether the engine was idle.
        """
        if load.is_empty:
            return Span(now, now)
        duration = self._device_cost.step(*load[:4])
        host = self._step_cost.step(*load[:4]) - duration
        started_at = now + self._start + host if is_first else max(now, self._finished_at + host)
        launched_at = now + self._wake if is_first else now
        if load.prefills:
            num_tokens = load.num_decodes + sum(new for new, _ in load.prefills)
            duration = self._sustained.stretched(started_at, duration, num_tokens)
            launch = self._step_cost.launch(load.num_decodes, num_tokens)
            if launch.holds_core:
                launched_at = now + launch.seconds
            self._finished_at = max(started_at + duration, now + launch.seconds + launch.after)
        else:
            self._finished_at = started_at + duration
        return Span(min(launched_at, self._finished_at), self._finished_at)
