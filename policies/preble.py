"""Exploit a cached prefix or explore another engine, by which costs less: Preble's E2 with two choices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policies.interface import HOLD, CallView, EngineId, EngineView, Policy


class Preble(Policy):
    """A call goes to its cached prefix when that saves more than half of the prompt, else to the cheapest of a few.

    Parameters
    ----------
    num_choices : int
        Engines drawn at random to explore; 0 looks at all of them, as the paper does.
    balance : float
        An engine is not exploited when its load is more than this many times that of the least loaded one and the call.
    seed : int
        Of the policy's own random stream.

    Raises
    ------
    ValueError
        When `num_choices` is negative or `balance` is below 1.

    Notes
    -----
    Preble (Srivatsa et al., ICLR 2025, section 3, algorithm E2): exploit where the longest prefix is cached if it is
    longer than the rest of the prompt; otherwise explore by cost. The cost of an engine is its unfinished prompt tokens
    and those of this call that it would have to compute. Two choices suffice for most of the gain of looking at all
    (Mitzenmacher, IEEE TPDS 12(10), 2001), and herd less on old views.

    Left out of the cost: decoding, for which the paper takes the mean output of a window of time, and what evicting
    others' prefixes would cost; of the rest, replication of hot prefixes ahead of need, which comes about here by
    exploring when `balance` is exceeded, and the fair order within an engine.
    """

    def __init__(self, num_choices: int = 2, balance: float = 2.0, seed: int = 0) -> None:
        if num_choices < 0:
            raise ValueError(f"num_choices={num_choices} must not be negative")
        if not balance >= 1.0:
            raise ValueError(f"balance={balance} must be at least 1")
        self._num_choices = num_choices
        self._balance = balance
        self._rng = np.random.default_rng(seed)

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        candidates = [engine for engine in engines if engine.is_open]
        if not candidates:
            return HOLD
        cached = {engine.engine_id: engine.num_believed_cached_tokens(call) for engine in candidates}

        def cost(engine: EngineView) -> int:
            return engine.num_unfinished_tokens + call.num_prompt_tokens - cached[engine.engine_id]

        longest = max(cached.values())
        holder = min((engine for engine in candidates if cached[engine.engine_id] == longest), key=cost)
        if 2 * longest > call.num_prompt_tokens and not self._is_overloaded(holder, candidates, call):
            return holder.engine_id
        return min(self._drawn(candidates), key=cost).engine_id

    def _is_overloaded(self, holder: EngineView, engines: Sequence[EngineView], call: CallView) -> bool:
        least = min(engine.num_unfinished_tokens for engine in engines)
        return holder.num_unfinished_tokens > self._balance * (least + call.num_prompt_tokens)

    def _drawn(self, engines: list[EngineView]) -> list[EngineView]:
        if not self._num_choices or len(engines) <= self._num_choices:
            return engines
        drawn = self._rng.choice(len(engines), size=self._num_choices, replace=False)
        return [engines[index] for index in sorted(drawn.tolist())]
