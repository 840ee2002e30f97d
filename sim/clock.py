"""Virtual time: a SimPy environment that can also call a function at an absolute instant.

SimPy schedules relative delays, so `now + (at - now)` may miss `at` by a rounding error. Engines compute the instants
of their own step boundaries; scheduling those exactly keeps the order of events independent of how an instant was
reached. Generator processes (`clock.process(...)`) work as in any SimPy environment.
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


class Clock(simpy.Environment):
    """SimPy environment in float seconds with alarms at absolute instants."""

    def call_at(self, at: float, callback: Callable[[Alarm], None], order: int = CLIENT_ORDER) -> Alarm:
        """Call `callback(alarm)` at the instant `at`; among equal instants, lower `order` first, then first made.

        Raises
        ------
        ValueError
            When `at` lies in the past.
        """
        if at < self._now:
            raise ValueError(f"at={at} must not be before now={self._now}")
        alarm = Alarm(at, callback)
        queue: list[Any] = self._queue
        heappush(queue, (at, order, next(self._eid), alarm))
        return alarm

    def run(self, until: Any = None) -> Any:
        """As `simpy.Environment.run`; without `until`, in a tighter loop that does the same."""
        if until is not None:
            return super().run(until)
        queue: list[Any] = self._queue
        while queue:
            self._now, _, _, event = heappop(queue)
            callbacks, event.callbacks = event.callbacks, None
            for callback in callbacks:
                callback(event)
            if not event._ok and not hasattr(event, "_defused"):
                raise event._value
        return None
