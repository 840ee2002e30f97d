"""Engines in turn."""

from __future__ import annotations

from collections.abc import Sequence

from policies.interface import HOLD, CallView, EngineId, EngineView, Policy


class RoundRobin(Policy):
    """Each call to the next engine in turn; a full engine is passed over."""

    def __init__(self) -> None:
        self._next = 0

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        candidates = [engine.engine_id for engine in engines if engine.is_open]
        if not candidates:
            return HOLD
        chosen = next((engine_id for engine_id in candidates if engine_id >= self._next), candidates[0])
        self._next = chosen + 1
        return chosen
