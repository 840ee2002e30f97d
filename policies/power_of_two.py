"""The better of two engines at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policies.interface import CallView, EngineId, EngineView, Policy, least_loaded


class PowerOfTwo(Policy):
    """Each call to the less loaded of two open engines drawn at random.

    Parameters
    ----------
    seed : int
        Of the policy's own random stream.

    Notes
    -----
    Two choices suffice for an exponential improvement over one (Mitzenmacher, IEEE TPDS 12(10), 2001), and stale views
    hurt less than with the least loaded of all.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        candidates = [engine for engine in engines if engine.is_open]
        if len(candidates) > 2:
            first, second = self._rng.choice(len(candidates), size=2, replace=False)
            candidates = [candidates[int(first)], candidates[int(second)]]
        return least_loaded(candidates)
