"""Logs that a running simulation appends to, cheap enough for a row every few microseconds.

Rows are packed as C structs into one growing buffer (a third of the time that `array.extend` takes) and become the
data frames of `traces.records` when the run is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from struct import Struct
from typing import Any, Final

import numpy as np
import pandas as pd

from policies.calls import CallState, CallStatus
from sim.request import Request
from sim.timeline import Stretch
from traces.records import CALL_COLUMNS, STEP_COLUMNS

_STEP_INSTANTS = ("started_at", "finished_at")
_STEP_ROW: Final = np.dtype([(column, np.float64 if column in _STEP_INSTANTS else np.int64) for column in STEP_COLUMNS])
_CALL_COUNTS = ("engine", "num_cached_tokens", "num_preemptions")
_CALL_INSTANTS = ("ready_at", "submitted_at", "dispatched_at", "scheduled_at", "first_token_at", "finished_at")
_CALL_ROW: Final = np.dtype(
    [("index", np.int64)]
    + [(column, np.int64) for column in _CALL_COUNTS]
    + [(column, np.float64) for column in _CALL_INSTANTS]
)
_pack_step: Final = Struct("=3q2d7q").pack  # as _STEP_ROW
_pack_call: Final = Struct("=4q6d").pack  # as _CALL_ROW


class StepLog:
    """Steps of one engine, a row a stretch.

    Parameters
    ----------
    engine_id : int
    """

    def __init__(self, engine_id: int) -> None:
        self._engine_id = engine_id
        self._rows = bytearray()

    def append(self, stretch: Stretch) -> None:
        """Log a stretch that is complete. Steps that ran and preempted nothing are left out."""
        num_decodes, context, num_prefills, num_prefill_tokens, num_running, num_free, num_preempted = stretch.details
        if num_decodes or num_prefills or num_preempted:
            self._rows += _pack_step(
                self._engine_id,
                stretch.first_step,
                stretch.count,
                stretch.start,
                stretch.finished_at,
                num_decodes,
                context,
                num_prefills,
                num_prefill_tokens,
                num_running,
                num_free,
                num_preempted,
            )

    def table(self) -> np.ndarray:
        """The rows, a structured array (num_rows,) with the columns of `traces.records.STEP_COLUMNS`."""
        return np.frombuffer(self._rows, dtype=_STEP_ROW)


def steps_frame(logs: Sequence[StepLog]) -> pd.DataFrame:
    """Steps of all engines, by engine and step; counts as integers, instants as floats."""
    table = np.concatenate([log.table() for log in logs])
    return pd.DataFrame({column: np.ascontiguousarray(table[column]) for column in STEP_COLUMNS})


class CallLog:
    """Finished calls of a run, in the order they finished."""

    def __init__(self) -> None:
        self._rows = bytearray()
        self._num_rows = 0

    def append(self, request: Request, call: CallState, finished_at: float) -> None:
        """Log one call that is done."""
        self._num_rows += 1
        self._rows += _pack_call(
            call.index,
            call.engine_id,
            request.num_cached_tokens,
            request.num_preemptions,
            call.ready_at,
            call.submitted_at,
            call.dispatched_at,
            request.scheduled_at,
            request.first_token_at,
            finished_at,
        )

    def __len__(self) -> int:
        return self._num_rows

    def frame(self, calls: Sequence[CallState]) -> pd.DataFrame:
        """All calls in workload order, columns `traces.records.CALL_COLUMNS`; status "unfinished" where not done."""
        done = np.frombuffer(self._rows, dtype=_CALL_ROW)
        finished = np.zeros(len(calls), dtype=bool)
        finished[done["index"]] = True
        columns: dict[str, Any] = {
            "app": np.array([call.app_id for call in calls], dtype=object),
            "call": np.array([call.call_id for call in calls], dtype=object),
            "stage": np.array([call.stage for call in calls], dtype=object),
            "num_prompt_tokens": np.array([call.num_prompt_tokens for call in calls], dtype=np.int64),
            "num_output_tokens": np.array([call.num_output_tokens for call in calls], dtype=np.int64),
            "app_arrived_at": np.array([call.app_arrived_at for call in calls]),
            "status": np.where(finished, "ok", "unfinished").astype(object),
        }
        table = np.empty(len(calls), dtype=_CALL_ROW)
        table[done["index"]] = done
        for index in np.flatnonzero(~finished).tolist():
            table[index] = _unfinished(calls[index])
        columns.update({name: np.ascontiguousarray(table[name]) for name in (*_CALL_COUNTS, *_CALL_INSTANTS)})
        return pd.DataFrame(columns)[list(CALL_COLUMNS)]


def _unfinished(call: CallState) -> tuple[float, ...]:
    """What is known of a call when a run was stopped, as a row of `_CALL_ROW`; -1 and NaN stand for the rest."""
    is_submitted = call.status is not CallStatus.BLOCKED  # before that, `submitted_at` is a plan
    return (
        call.index,
        call.engine_id,
        -1,
        -1,
        call.ready_at if call.ready_at >= 0.0 else nan,
        call.submitted_at if is_submitted else nan,
        call.dispatched_at if call.engine_id >= 0 else nan,
        nan,
        nan,
        nan,
    )
