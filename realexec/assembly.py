"""From what the driver noted and the engines recorded to the tables of `traces.records`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from policies.calls import CallState, CallStatus
from policies.coordinator import Coordinator
from realexec.attempts import Attempt, RunNotes
from realexec.interface import EngineRecords, RequestFacts
from traces.records import CALL_COLUMNS, STEP_COLUMNS

_STEP_INSTANTS = ("started_at", "finished_at")


def calls_frame(
    coordinator: Coordinator, notes: RunNotes, records: Sequence[EngineRecords], started_at: float
) -> pd.DataFrame:
    """One row a call, in workload order, columns `traces.records.CALL_COLUMNS`.

    Parameters
    ----------
    coordinator : Coordinator
        Of the run, which is over.
    notes : RunNotes
    records : sequence of EngineRecords
        Number `i` of engine `i`.
    started_at : float, seconds of `time.monotonic()`

    Notes
    -----
    A call that was tried more than once shows its last attempt. Counts that are not known are -1, instants NaN.
    """
    rows = [_row(call, coordinator, notes, records, started_at) for call in coordinator.calls]
    return pd.DataFrame.from_records(rows, columns=list(CALL_COLUMNS)).astype(
        {name: np.float64 for name in CALL_COLUMNS if name.endswith("_at")}
    )


def steps_frame(records: Sequence[EngineRecords], started_at: float) -> pd.DataFrame:
    """Steps of all engines, by engine and step, columns `traces.records.STEP_COLUMNS`.

    Parameters
    ----------
    records : sequence of EngineRecords
    started_at : float, seconds of `time.monotonic()`
    """
    tables = [each.steps for each in records if not each.steps.empty]
    steps = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(STEP_COLUMNS))
    types = {name: np.float64 if name in _STEP_INSTANTS else np.int64 for name in STEP_COLUMNS}
    steps = steps[list(STEP_COLUMNS)].astype(types)
    for name in _STEP_INSTANTS:
        steps[name] -= started_at
    return steps


def _row(
    call: CallState, coordinator: Coordinator, notes: RunNotes, records: Sequence[EngineRecords], started_at: float
) -> tuple[Any, ...]:
    attempt = notes.attempts.get(call.index)
    told = _told(attempt, records[attempt.engine_id].requests if attempt else {})
    return (
        call.app_id,
        call.call_id,
        call.stage,
        attempt.engine_id if attempt else -1,
        call.num_prompt_tokens,
        call.num_output_tokens,
        told.num_cached_tokens,
        call.app_arrived_at,
        call.ready_at if call.ready_at >= 0.0 else nan,
        call.submitted_at if call.submitted_at >= 0.0 else nan,
        attempt.dispatched_at if attempt else nan,
        told.scheduled_at - started_at,
        _or_nan(attempt.first_token_at if attempt else None),
        _or_nan(attempt.finished_at if attempt else None),
        told.num_preemptions,
        "ok" if call.status is CallStatus.FINISHED else coordinator.failures.get(call.index, "unfinished"),
    )


def _told(attempt: Attempt | None, facts: Mapping[str, RequestFacts]) -> RequestFacts:
    """What is known of a request inside its engine: from the engine's own records, else from its answer."""
    if attempt is None:
        return RequestFacts(nan, -1, -1)
    if attempt.request_id in facts:
        return facts[attempt.request_id]
    if attempt.completion is None:
        return RequestFacts(nan, -1, -1)
    return RequestFacts(_or_nan(attempt.completion.scheduled_at), attempt.completion.num_cached_tokens, -1)


def _or_nan(instant: float | None) -> float:
    return nan if instant is None else instant
