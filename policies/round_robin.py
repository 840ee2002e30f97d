"""Engines in turn."""

from __future__ import annotations

from collections.abc import Sequence

from policies.interface import HOLD, CallView, EngineId, EngineView, Policy


class RoundRobin(Policy):
    """Each call to the next engine in turn; a full engine is passed over."""

    def __init__(self) -> None:
        self._next = 0

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        for step in range(len(engines)):
            engine = engines[(self._next + step) % len(engines)]
            if engine.is_open:
                self._next = engine.engine_id + 1
                return engine.engine_id
        return HOLD
