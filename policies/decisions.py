"""The log of routing decisions, one row a dispatch and one row the first time a call is held."""

from __future__ import annotations

from struct import Struct
from typing import Final

import numpy as np
import pandas as pd

from policies.calls import CallState
from traces.records import DECISION_COLUMNS

_ROW: Final = np.dtype([("at", np.float64), ("index", np.int64), ("engine", np.int64)])
_pack: Final = Struct("=d2q").pack  # as _ROW


class DecisionLog:
    """Decisions of one run, in the order they were taken. A call that stays held is not logged again."""

    def __init__(self) -> None:
        self._rows = bytearray()

    def append(self, now: float, call: CallState, engine_id: int) -> None:
        """Log one decision; `engine_id` is -1 for a hold."""
        self._rows += _pack(now, call.index, engine_id)

    def frame(self, calls: list[CallState]) -> pd.DataFrame:
        """The log with columns `traces.records.DECISION_COLUMNS`; engine is -1 where the outcome is "hold"."""
        table = np.frombuffer(self._rows, dtype=_ROW)
        app_ids = np.array([call.app_id for call in calls], dtype=object)
        call_ids = np.array([call.call_id for call in calls], dtype=object)
        index, engine = table["index"], np.ascontiguousarray(table["engine"])
        outcome = np.where(engine < 0, "hold", "dispatch").astype(object)
        kind = np.full(len(index), "route", dtype=object)
        columns = (np.ascontiguousarray(table["at"]), kind, app_ids[index], call_ids[index], engine, outcome)
        return pd.DataFrame(dict(zip(DECISION_COLUMNS, columns, strict=True)))
