"""Cache-aware routing by thresholds, as the router of SGLang does it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from policies.interface import HOLD, CallView, EngineId, EngineView, Policy, least_loaded


class CacheAware(Policy):
    """By load while loads differ much; otherwise where most of the prompt is cached, or else where least was sent.

    Parameters
    ----------
    cache_threshold : float
        Share of the prompt that must be believed cached at an engine for that to decide; 0 to 1.
    balance_abs_threshold : int
        Loads differ much when the most and the fewest unfinished calls of an engine are further apart than this, and
    balance_rel_threshold : float
        the most are more than this many times the fewest.

    Raises
    ------
    ValueError
        When a threshold is out of range.

    Notes
    -----
    SGLang's router (announced with SGLang v0.4, 2024; the parameters are those of its "cache-aware" policy, with that
    version's defaults). Until the guard trips, calls that share a prompt herd to one engine, which is
    `balance_abs_threshold` calls deep by then: lower it for small engines.

    Left out: the router matches characters of text and evicts by a limit of its own; here the gateway's belief
    (`EngineView.num_believed_cached_tokens`) plays that part, and "least sent" counts prompt tokens that were not
    believed cached, never evicted ones. The router does not hold calls; here a full engine is passed over.
    """

    def __init__(
        self, cache_threshold: float = 0.5, balance_abs_threshold: int = 32, balance_rel_threshold: float = 1.0001
    ) -> None:
        if not 0.0 <= cache_threshold <= 1.0:
            raise ValueError(f"cache_threshold={cache_threshold} must be between 0 and 1")
        if balance_abs_threshold < 0:
            raise ValueError(f"balance_abs_threshold={balance_abs_threshold} must not be negative")
        if not balance_rel_threshold >= 1.0:
            raise ValueError(f"balance_rel_threshold={balance_rel_threshold} must be at least 1")
        self._cache_threshold = cache_threshold
        self._abs_threshold = balance_abs_threshold
        self._rel_threshold = balance_rel_threshold
        self._tokens_sent: Counter[EngineId] = Counter()

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        candidates = [engine for engine in engines if engine.is_open]
        if not candidates:
            return HOLD
        cached = {engine.engine_id: engine.num_believed_cached_tokens(call) for engine in candidates}
        if self._is_imbalanced([engine.num_unfinished for engine in engines]):
            chosen = least_loaded(candidates)
        else:
            chosen = self._by_cache(call, cached)
        if chosen is not None:
            self._tokens_sent[chosen] += call.num_prompt_tokens - cached[chosen]
        return chosen

    def _is_imbalanced(self, loads: list[int]) -> bool:
        most, fewest = max(loads), min(loads)
        return most - fewest > self._abs_threshold and most > self._rel_threshold * fewest

    def _by_cache(self, call: CallView, cached: dict[EngineId, int]) -> EngineId:
        best = max(cached, key=lambda engine_id: cached[engine_id])  # the lowest id among equals
        if cached[best] > self._cache_threshold * call.num_prompt_tokens:
            return best
        return min(cached, key=lambda engine_id: self._tokens_sent[engine_id])
