"""Fewest unfinished prompt tokens first."""

from __future__ import annotations

from collections.abc import Sequence

from policies.interface import HOLD, CallView, EngineId, EngineView, Policy


class LeastLoaded(Policy):
    """Each call to the open engine with the fewest unfinished prompt tokens, then the fewest calls.

    Notes
    -----
    `fifo` counts calls; this counts tokens, so one long prompt weighs as much as many short ones.
    """

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        candidates = [engine for engine in engines if engine.is_open]
        if not candidates:
            return HOLD
        best = min(candidates, key=lambda e: (e.num_unfinished_tokens, e.num_unfinished, e.engine_id))
        return best.engine_id
