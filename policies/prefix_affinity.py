"""Send a call where its prompt is believed cached, unless that engine is too loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from policies.interface import HOLD, CallView, EngineId, EngineView, Policy


class PrefixAffinity(Policy):
    """Longest believed cached prefix first, among the engines that are not overloaded.

    Parameters
    ----------
    max_imbalance : int
        How far an engine may be ahead of the least loaded one and still be chosen for its cache, by the guard's unit.
    guard : "calls" or "tokens"
        The unit: an unfinished call, or as many unfinished prompt tokens as the cache would save this call.

    Raises
    ------
    ValueError
        When `max_imbalance` is negative.

    Notes
    -----
    Routing by cache alone herds: the engine that holds a popular prefix gets every call that begins with it. The guard
    bounds how far that can go, so a popular prefix spreads to a second engine once the first is too far ahead. The
    cache is what the gateway believes (`EngineView.num_believed_cached_tokens`), not what the engine knows.

    Counting calls is only right where prompts are of a size and nearly all of each is cached; there, tokens say the
    same. Where a prefix of 500 tokens opens prompts of 100,000, four calls are not worth waiting for, and with the
    guard "tokens" are not: a hit is taken while it saves at least 1 / `max_imbalance` of what it waits behind. The
    factor is there because the gateway cannot tell how much of an unfinished prompt is computed already.
    """

    def __init__(self, max_imbalance: int = 4, guard: Literal["calls", "tokens"] = "calls") -> None:
        if max_imbalance < 0:
            raise ValueError(f"max_imbalance={max_imbalance} must not be negative")
        self._max_imbalance = max_imbalance
        self._counts_tokens = guard == "tokens"

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        candidates = [engine for engine in engines if engine.is_open]
        if not candidates:
            return HOLD
        return self._by_tokens(call, candidates) if self._counts_tokens else self._by_calls(call, candidates)

    def _by_calls(self, call: CallView, engines: list[EngineView]) -> EngineId:
        limit = min(engine.num_unfinished for engine in engines) + self._max_imbalance
        best = min(
            (engine for engine in engines if engine.num_unfinished <= limit),
            key=lambda engine: (-engine.num_believed_cached_tokens(call), engine.num_unfinished, engine.engine_id),
        )
        return best.engine_id

    def _by_tokens(self, call: CallView, engines: list[EngineView]) -> EngineId:
        least = min(engine.num_unfinished_tokens for engine in engines)
        offers = []
        for engine in engines:
            num_cached = engine.num_believed_cached_tokens(call)
            if engine.num_unfinished_tokens - least <= self._max_imbalance * num_cached:
                offers.append((-num_cached, engine.num_unfinished_tokens, engine.engine_id))
        return min(offers)[2]
