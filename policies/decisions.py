"""The log of routing decisions, one row a dispatch and one row the first time a call is held."""

from __future__ import annotations

from array import array

import numpy as np
import pandas as pd

from policies.calls import CallState
from traces.records import DECISION_COLUMNS


class DecisionLog:
    """Decisions of one run, in the order they were taken. A call that stays held is not logged again."""

    def __init__(self) -> None:
        self._rows = array("d")

    def append(self, now: float, call: CallState, engine_id: int) -> None:
        """Log one decision; `engine_id` is -1 for a hold."""
        self._rows.extend((now, call.index, engine_id))

    def frame(self, calls: list[CallState]) -> pd.DataFrame:
        """The log with columns `traces.records.DECISION_COLUMNS`; engine is -1 where the outcome is "hold"."""
        table = np.frombuffer(self._rows, dtype=np.float64).reshape(-1, 3)
        app_ids = np.array([call.app_id for call in calls], dtype=object)
        call_ids = np.array([call.call_id for call in calls], dtype=object)
        index, engine = table[:, 1].astype(np.int64), table[:, 2].astype(np.int64)
        outcome = np.where(engine < 0, "hold", "dispatch").astype(object)
        columns = (table[:, 0], np.full(len(index), "route", dtype=object), app_ids[index], call_ids[index])
        return pd.DataFrame(dict(zip(DECISION_COLUMNS, (*columns, engine, outcome), strict=True)))
