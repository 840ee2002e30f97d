"""A function to call at an instant: the simulator's own kind of SimPy event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar


class Alarm:
    """Calls one function at the instant `at`; `cancel` disarms it.

    Has what SimPy's loop looks at in an event (`callbacks`, `_ok`) and nothing else, because a simulation makes some
    four of them a request. No process can wait for it.
    """

    __slots__ = ("at", "callbacks")

    _ok: ClassVar[bool] = True

    def __init__(self, at: float, callback: Callable[[Any], None]) -> None:
        self.at = at
        self.callbacks: list[Callable[[Any], None]] | None = [callback]

    def cancel(self) -> None:
        """Do nothing when the instant comes. Superseded alarms are disarmed, not searched for in the queue."""
        self.callbacks = []
