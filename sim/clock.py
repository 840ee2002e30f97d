"""Virtual time: a SimPy environment that can also call a function at an absolute instant.

SimPy schedules relative delays, so `now + (at - now)` may miss `at` by a rounding error. Engines compute the instants
of their own step boundaries; scheduling those exactly keeps the order of events independent of how an instant was
reached. Processes and events of SimPy go into the same queue (`clock.environment.process(...)`).
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import simpy

from sim.alarm import Alarm

#: Order of events at one instant: what clients do comes before what engines do (`ENGINE_ORDER + engine id`).
CLIENT_ORDER = 1
ENGINE_ORDER = 2


class Clock:
    """Time in float seconds: alarms at absolute instants in the event queue of a SimPy environment.

    Holds an environment rather than being one, because a class derived from an ordinary one cannot be compiled.
    """

    def __init__(self) -> None:
        self.environment = simpy.Environment()
        self._queue: list[Any] = self.environment._queue
        self._numbers = self.environment._eid

    @property
    def now(self) -> float:
        """The present instant, in seconds."""
        return float(self.environment._now)

    def call_at(self, at: float, callback: Callable[[Alarm], None], order: int = CLIENT_ORDER) -> Alarm:
        """Call `callback(alarm)` at the instant `at`; among equal instants, lower `order` first, then first made.

        Raises
        ------
        ValueError
            When `at` lies in the past.
        """
        if at < self.environment._now:
            raise ValueError(f"at={at} must not be before now={self.now}")
        alarm = Alarm(at, callback)
        heappush(self._queue, (at, order, next(self._numbers), alarm))
        return alarm

    def advance(self, at: float) -> bool:
        """Move to the instant `at`, not before now, unless anything else is due by then; returns whether it moved.

        Spares the caller an alarm that would be the next to ring. It must be done with the present instant.
        """
        if self._queue and self._queue[0][0] <= at:
            return False
        self.environment._now = at
        return True

    def run(self, until: float | None = None) -> None:
        """As `simpy.Environment.run`; without `until`, in a tighter loop that does the same."""
        environment, queue = self.environment, self._queue
        if until is not None:
            environment.run(until)
            return
        while queue:
            environment._now, _, _, event = heappop(queue)
            if isinstance(event, Alarm):
                event.ring()
                continue
            callbacks, event.callbacks = event.callbacks, None
            for callback in callbacks:
                callback(event)
            if not event._ok and not hasattr(event, "_defused"):
                raise event._value
