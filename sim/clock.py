"""Virtual time: a SimPy environment that can also call a function at an absolute instant.

SimPy schedules relative delays, so `now + (at - now)` may miss `at` by a rounding error. Engines compute the instants of
their own step boundaries; scheduling those exactly keeps the order of events independent of how an instant was reached.
Generator processes (`clock.process(...)`) work as in any SimPy environment.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush

import simpy
from simpy.events import Event

#: Order of events at one instant: what clients do comes before what engines do (`ENGINE_ORDER + engine id`).
CLIENT_ORDER = 1
ENGINE_ORDER = 2


class Alarm(Event):
    """An event that calls one function at one instant; `cancel` disarms it."""

    def __init__(self, clock: Clock, callback: Callable[[Event], None]) -> None:
        self.env = clock
        self.callbacks = [callback]
        self._ok = True
        self._value = None

    def cancel(self) -> None:
        """Do nothing when the instant comes. Superseded alarms are disarmed, not searched for in the queue."""
        self.callbacks = []


class Clock(simpy.Environment):
    """SimPy environment in float seconds with alarms at absolute instants."""

    def call_at(self, at: float, callback: Callable[[Event], None], order: int = CLIENT_ORDER) -> Alarm:
        """Call `callback(event)` at the instant `at`; among equal instants, lower `order` first, then first made.

        Raises
        ------
        ValueError
            When `at` lies in the past.
        """
        if at < self._now:
            raise ValueError(f"at={at} must not be before now={self._now}")
        alarm = Alarm(self, callback)
        heappush(self._queue, (at, order, next(self._eid), alarm))
        return alarm
