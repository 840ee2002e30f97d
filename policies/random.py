"""An engine at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policies.interface import HOLD, CallView, EngineId, EngineView, Policy


class Random(Policy):
    """Each call to an open engine drawn uniformly.

    Parameters
    ----------
    seed : int
        Of the policy's own random stream.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        candidates = [engine.engine_id for engine in engines if engine.is_open]
        return candidates[int(self._rng.integers(len(candidates)))] if candidates else HOLD
