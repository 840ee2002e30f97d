"""Runs in the Chrome trace event format, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

One process an engine of each run, and one for its coordinator. An engine's process has a track of steps, counters of
running calls and free KV blocks, and one asynchronous slice a call with its phases nested inside; the coordinator's has
one instant a decision. Both runs start at 0, so they lie on one time axis.

Format: "Trace Event Format", Google; durations are complete events (ph X), calls nestable asynchronous ones (b, e),
decisions instants (i), counters C, names metadata (M). Time stamps are microseconds.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparison.critical_path import PARTS
from traces.records import RunRecords

_STEPS_TRACK, _DECISIONS_TRACK = 1, 2

#: Phases of a call: label, columns of its start and end.
_PHASES = [(name, start, end) for (name, end), start in zip(PARTS[1:], [column for _, column in PARTS], strict=False)]


def trace_events(runs: Mapping[str, RunRecords], *, until: float = float("inf")) -> Iterator[dict[str, Any]]:
    """Events of one or several runs.

    Parameters
    ----------
    runs : mapping of label to RunRecords
        The labels name the processes: "simulated", "measured".
    until : float, seconds
        Leave out what begins later.
    """
    first_process = 1
    for label, records in runs.items():
        engines = sorted({*records.calls["engine"], *records.steps["engine"]} - {-1})
        process = {int(engine): first_process + 1 + index for index, engine in enumerate(engines)}
        yield from _process_name(first_process, f"{label}: coordinator")
        yield from _decision_events(_until(records.decisions, "at", until), first_process)
        for engine, own in process.items():
            yield from _process_name(own, f"{label}: engine {engine}")
        yield from _step_events(_until(records.steps, "started_at", until), process)
        yield from _call_events(_until(records.calls, "submitted_at", until), process, label)
        first_process += 1 + len(engines)


def write_trace(path: Path, events: Iterable[Mapping[str, Any]]) -> int:
    """Write events to a JSON file, compressed where its name ends in .gz; return how many.

    Events are written as they come, one a line: a million calls need no memory.
    """
    number = 0
    with gzip.open(path, "wt", compresslevel=5) if path.suffix == ".gz" else path.open("w") as file:
        file.write('{"displayTimeUnit":"ms","traceEvents":[\n')
        for event in events:
            file.write(f"{',' if number else ''}{json.dumps(event, separators=(',', ':'))}\n")
            number += 1
        file.write("]}\n")
    return number


def _until(frame: pd.DataFrame, column: str, until: float) -> pd.DataFrame:
    return frame[frame[column] <= until]


def _microseconds(seconds: float) -> float:
    return round(seconds * 1e6, 3)  # whole nanoseconds


def _process_name(process: int, name: str) -> Iterator[dict[str, Any]]:
    """Name of a process and its place in the list, and names of its tracks."""
    yield {"ph": "M", "pid": process, "tid": 0, "name": "process_name", "args": {"name": name}}
    yield {"ph": "M", "pid": process, "tid": 0, "name": "process_sort_index", "args": {"sort_index": process}}
    for track, title in ((_STEPS_TRACK, "steps"), (_DECISIONS_TRACK, "decisions")):
        if (track == _DECISIONS_TRACK) == name.endswith("coordinator"):
            yield {"ph": "M", "pid": process, "tid": track, "name": "thread_name", "args": {"name": title}}


def _decision_events(decisions: pd.DataFrame, process: int) -> Iterator[dict[str, Any]]:
    for row in decisions.itertuples(index=False):
        where = "held" if row.outcome == "hold" else f"to engine {row.engine}"
        yield {
            "ph": "i",
            "s": "t",
            "pid": process,
            "tid": _DECISIONS_TRACK,
            "ts": _microseconds(row.at),
            "cat": "decision",
            "name": f"{row.app}/{row.call} {where}",
            "args": {"kind": row.kind, "outcome": row.outcome, "engine": int(row.engine)},
        }


def _step_events(steps: pd.DataFrame, process: Mapping[int, int]) -> Iterator[dict[str, Any]]:
    """Steps and, at the start of each, the counters."""
    ordered = steps.sort_values(["engine", "started_at"], kind="stable")
    # With two steps in flight one opens before the other is done; slices of one track must not overlap.
    busy_until = ordered.groupby("engine")["finished_at"].cummax().groupby(ordered["engine"]).shift()
    begins = np.fmax(ordered["started_at"], busy_until)
    for row, begin in zip(ordered.to_dict("records"), begins, strict=True):
        own = {"pid": process[int(row["engine"])], "ts": _microseconds(begin)}
        args = {name: int(row[name]) for name in row if name.startswith("num_") or name in ("step", "count")}
        # Of rounded instants, or a slice could end a nanosecond after the next one begins.
        duration = max(round(_microseconds(row["finished_at"]) - _microseconds(begin), 3), 0.0)
        name = "prefill and decode" if row["num_prefill_tokens"] and row["num_decodes"] else _step_name(row)
        yield {"ph": "X", **own, "tid": _STEPS_TRACK, "dur": duration, "cat": "step", "name": name, "args": args}
        for counter, column in (("running calls", "num_running"), ("free KV blocks", "num_free_blocks")):
            if row[column] >= 0:
                yield {"ph": "C", **own, "name": counter, "args": {counter: int(row[column])}}


def _step_name(row: Mapping[str, Any]) -> str:
    if row["num_prefill_tokens"]:
        return "prefill"
    return "decode" if row["num_decodes"] else "preemption only"


def _call_events(calls: pd.DataFrame, process: Mapping[int, int], label: str) -> Iterator[dict[str, Any]]:
    """One slice a call that was dispatched, its phases inside; of a call that did not finish, what it passed."""
    for number, row in enumerate(calls[calls["engine"] >= 0].to_dict("records")):
        own = {"cat": "call", "id": f"{label}-{number}", "pid": process[int(row["engine"])], "tid": 0}
        passed = [(name, row[start], row[end]) for name, start, end in _PHASES if row[start] <= row[end]]
        if not passed:
            continue
        name = f"{row['app']}/{row['call']}"
        args = {key: value for key, value in row.items() if not key.endswith("_at") and key not in ("app", "call")}
        yield {"ph": "b", **own, "ts": _microseconds(row["submitted_at"]), "name": name, "args": args}
        for phase, start, end in passed:
            yield {"ph": "b", **own, "ts": _microseconds(start), "name": phase}
            yield {"ph": "e", **own, "ts": _microseconds(end), "name": phase}
        yield {"ph": "e", **own, "ts": _microseconds(passed[-1][2]), "name": name}
