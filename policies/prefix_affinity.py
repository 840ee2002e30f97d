"""Send a call where its prompt is believed cached, unless that engine is too loaded."""

from __future__ import annotations

from collections.abc import Sequence

from policies.interface import HOLD, CallView, EngineId, EngineView, Policy


class PrefixAffinity(Policy):
    """Longest believed cached prefix first, among the engines that are not overloaded.

    Parameters
    ----------
    max_imbalance : int
        How many unfinished calls an engine may have beyond the least loaded one and still be chosen for its cache.

    Raises
    ------
    ValueError
        When `max_imbalance` is negative.

    Notes
    -----
    Routing by cache alone herds: the engine that holds a popular prefix gets every call that begins with it. The guard
    bounds how far that can go, so a popular prefix spreads to a second engine once the first is `max_imbalance` calls
    ahead. The cache is what the gateway believes (`EngineView.num_believed_cached_tokens`), not what the engine knows.
    """

    def __init__(self, max_imbalance: int = 4) -> None:
        if max_imbalance < 0:
            raise ValueError(f"max_imbalance={max_imbalance} must not be negative")
        self._max_imbalance = max_imbalance

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        candidates = [engine for engine in engines if engine.is_open]
        if not candidates:
            return HOLD
        limit = min(engine.num_unfinished for engine in candidates) + self._max_imbalance
        best = min(
            (engine for engine in candidates if engine.num_unfinished <= limit),
            key=lambda engine: (-engine.num_believed_cached_tokens(call), engine.num_unfinished, engine.engine_id),
        )
        return best.engine_id
