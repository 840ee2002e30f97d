"""What an engine's scheduler records, step by step, and how it is read back.

A folder holds `steps.bin`, a row of doubles a step (`traces.records.STEP_COLUMNS` without the engine), and
`requests.jsonl`, a line whenever the facts of a request change. Both are appended to without a buffer, so they are
whole up to the last row when the engine is killed.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import pandas as pd

from realexec.interface import EngineRecords, RequestFacts
from realexec.step_load import StepLoad, StepLoads, client_id
from traces.records import STEP_COLUMNS

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import SchedulerOutput

_STEPS = "steps.bin"
_REQUESTS = "requests.jsonl"
_COLUMNS = tuple(name for name in STEP_COLUMNS if name not in ("engine", "count"))
_INSTANTS = ("started_at", "finished_at")


class _Planned(NamedTuple):
    """A step that is not over: when it was planned, and what its row will hold."""

    at: float
    is_empty: bool
    row: tuple[int, ...]


class Recorder:
    """Writes the records of one engine.

    Parameters
    ----------
    folder : Path
        Records of an earlier engine in it are replaced.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._steps: io.FileIO = (folder / _STEPS).open("wb", buffering=0)
        self._requests: io.FileIO = (folder / _REQUESTS).open("wb", buffering=0)
        self._loads = StepLoads()
        self._facts: dict[str, RequestFacts] = {}
        self._planned: deque[_Planned] = deque()
        self._num_steps = 0
        self._finished_at = 0.0  # of the last step

    def planned(self, output: SchedulerOutput, at: float, num_running: int, num_free_blocks: int) -> None:
        """A step was planned at `at`; the counts are as of then."""
        load = self._loads.read(output)
        preempted = output.preempted_req_ids or ()
        if load.starts or preempted:
            self._note_requests(load, preempted, at)
        for request_id in output.finished_req_ids:
            self._facts.pop(request_id, None)
        row = (
            self._num_steps,
            load.num_decodes,
            load.num_context_tokens,
            len(load.prefills),
            load.num_prefill_tokens,
            num_running,
            num_free_blocks,
            len(preempted),
        )
        self._num_steps += 1
        self._planned.append(_Planned(at, load.is_empty, row))

    def finished(self, at: float) -> None:
        """The oldest planned step gave its output.

        Notes
        -----
        It started when it was planned, or when the step before it ended: a GPU works off one after the other. Steps
        that ran and preempted nothing are left out, as in `sim.records`.
        """
        step = self._planned.popleft()
        started_at = max(step.at, self._finished_at)
        if step.is_empty and not step.row[-1]:
            return
        self._finished_at = started_at if step.is_empty else at
        number, *counts = step.row
        self._steps.write(np.array((number, started_at, self._finished_at, *counts), dtype=np.float64).tobytes())

    def close(self) -> None:
        """Nothing more will be recorded."""
        self._steps.close()
        self._requests.close()

    def _note_requests(self, load: StepLoad, preempted: Collection[str], at: float) -> None:
        for request_id, num_cached, num_output in load.starts:
            old = self._facts.get(request_id)
            if old is None:
                new = RequestFacts(at, num_cached, 0)
            elif num_output == 0:  # vLLM reports the last start before the first token
                new = replace(old, num_cached_tokens=num_cached)
            else:
                continue
            self._note(request_id, new)
        for request_id in preempted:
            old = self._facts[request_id]
            self._note(request_id, replace(old, num_preemptions=old.num_preemptions + 1))

    def _note(self, request_id: str, facts: RequestFacts) -> None:
        self._facts[request_id] = facts
        self._requests.write(msgspec.json.encode((client_id(request_id), facts)) + b"\n")


def read_records(folder: Path, engine_id: int) -> EngineRecords:
    """What was recorded in a folder; empty where nothing was. A row that was being written is left out."""
    return EngineRecords(_read_steps(folder / _STEPS, engine_id), _read_requests(folder / _REQUESTS))


def _read_steps(file: Path, engine_id: int) -> pd.DataFrame:
    data = file.read_bytes() if file.exists() else b""
    row_size = 8 * len(_COLUMNS)
    rows = np.frombuffer(data[: len(data) // row_size * row_size]).reshape(-1, len(_COLUMNS))
    frame = pd.DataFrame(
        {
            name: rows[:, index] if name in _INSTANTS else rows[:, index].astype(np.int64)
            for index, name in enumerate(_COLUMNS)
        }
    )
    return frame.assign(engine=engine_id, count=1)[list(STEP_COLUMNS)]


def _read_requests(file: Path) -> dict[str, RequestFacts]:
    """The last whole line of each request."""
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return dict(msgspec.json.decode(line, type=tuple[str, RequestFacts]) for line in lines)
