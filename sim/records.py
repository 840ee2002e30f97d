"""Logs that a running simulation appends to, cheap enough for a row every few microseconds.

Rows go into flat arrays of doubles and become the data frames of `traces.records` when the run is over.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from policies.calls import CallState, CallStatus
from sim.request import Request
from sim.timeline import Stretch
from traces.records import CALL_COLUMNS, STEP_COLUMNS

_CALL_WIDTH = 10
_STEP_INSTANTS = ("started_at", "finished_at")


class StepLog:
    """Steps of one engine, a row a stretch.

    Parameters
    ----------
    engine_id : int
    """

    def __init__(self, engine_id: int) -> None:
        self._engine_id = engine_id
        self._rows = array("d")

    def append(self, stretch: Stretch) -> None:
        """Log a stretch that is complete. Steps that ran and preempted nothing are left out."""
        details = stretch.details
        if details[0] or details[2] or details[6]:
            count = stretch.count
            self._rows.extend((self._engine_id, stretch.first_step, count, stretch.start, stretch.end(count), *details))

    def table(self) -> np.ndarray:
        """The rows, (num_rows, len(STEP_COLUMNS)) float64, columns as in `traces.records`."""
        return np.frombuffer(self._rows, dtype=np.float64).reshape(-1, len(STEP_COLUMNS))


def steps_frame(logs: Sequence[StepLog]) -> pd.DataFrame:
    """Steps of all engines, by engine and step; counts as integers, instants as floats."""
    table = np.concatenate([log.table() for log in logs])
    return pd.DataFrame(
        {
            column: table[:, index] if column in _STEP_INSTANTS else table[:, index].astype(np.int64)
            for index, column in enumerate(STEP_COLUMNS)
        }
    )


class CallLog:
    """Finished calls of a run, in the order they finished."""

    def __init__(self) -> None:
        self._rows = array("d")

    def append(self, request: Request, call: CallState, finished_at: float) -> None:
        """Log one call that is done."""
        self._rows.extend(
            (
                call.index,
                call.engine_id,
                request.num_cached_tokens,
                call.ready_at,
                call.submitted_at,
                call.dispatched_at,
                request.scheduled_at,
                request.first_token_at,
                finished_at,
                request.num_preemptions,
            )
        )

    def __len__(self) -> int:
        return len(self._rows) // _CALL_WIDTH

    def frame(self, calls: Sequence[CallState]) -> pd.DataFrame:
        """All calls in workload order, columns `traces.records.CALL_COLUMNS`; status "unfinished" where not done."""
        done = np.frombuffer(self._rows, dtype=np.float64).reshape(-1, _CALL_WIDTH)
        table = np.full((len(calls), _CALL_WIDTH), np.nan)
        table[done[:, 0].astype(np.int64)] = done
        finished = ~np.isnan(table[:, 0])
        for index in np.flatnonzero(~finished).tolist():
            table[index, 1:6] = _unfinished(calls[index])
        counts = np.where(np.isnan(table), -1.0, table).astype(np.int64)
        columns: dict[str, Any] = {
            "app": np.array([call.app_id for call in calls], dtype=object),
            "call": np.array([call.call_id for call in calls], dtype=object),
            "stage": np.array([call.stage for call in calls], dtype=object),
            "engine": counts[:, 1],
            "num_prompt_tokens": np.array([call.num_prompt_tokens for call in calls], dtype=np.int64),
            "num_output_tokens": np.array([call.num_output_tokens for call in calls], dtype=np.int64),
            "num_cached_tokens": counts[:, 2],
            "app_arrived_at": np.array([call.app_arrived_at for call in calls]),
            "num_preemptions": counts[:, 9],
            "status": np.where(finished, "ok", "unfinished").astype(object),
        }
        instants = ("ready_at", "submitted_at", "dispatched_at", "scheduled_at", "first_token_at", "finished_at")
        columns.update({name: table[:, 3 + offset] for offset, name in enumerate(instants)})
        return pd.DataFrame(columns)[list(CALL_COLUMNS)]


def _unfinished(call: CallState) -> tuple[float, ...]:
    """What is known of a call when a run was stopped: engine, cached tokens, ready, submitted and dispatched."""
    is_submitted = call.status is not CallStatus.BLOCKED  # before that, `submitted_at` is a plan
    return (
        call.engine_id,
        nan,
        call.ready_at if call.ready_at >= 0.0 else nan,
        call.submitted_at if is_submitted else nan,
        call.dispatched_at if call.engine_id >= 0 else nan,
    )
