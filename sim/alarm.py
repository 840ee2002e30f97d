"""A function to call at an instant: the simulator's own kind of SimPy event."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar


class Alarm:
    """Calls one function at the instant `at`; `cancel` disarms it.

    Has what SimPy's loop looks at in an event (`callbacks`, `_ok`) and nothing else, because a simulation makes some
    three of them a request. No process can wait for it.
    """

    __slots__ = ("_callback", "at")

    _ok: ClassVar[bool] = True

    def __init__(self, at: float, callback: Callable[[Alarm], None]) -> None:
        self.at = at
        self._callback: Callable[[Alarm], None] | None = callback

    def ring(self) -> None:
        """Call the function, unless cancelled."""
        if self._callback is not None:
            self._callback(self)

    def cancel(self) -> None:
        """Do nothing when the instant comes. Superseded alarms are disarmed, not searched for in the queue."""
        self._callback = None

    @property
    def callbacks(self) -> tuple[Callable[[Alarm], None], ...]:
        """What SimPy's own loop calls."""
        return () if self._callback is None else (self._callback,)

    @callbacks.setter
    def callbacks(self, _: None) -> None:
        """SimPy's loop marks an event as processed so; an alarm rings but once anyway."""
