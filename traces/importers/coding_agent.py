"""Recorded sessions of a coding agent: model calls with tool runs between them, and sub-agents that run beside.

JSONL, one session a line (callanjfox/kv-cache-tester, traces/*.json, with `block_size`, `requests[]` of `t`, `type`,
`in`, `out`, `hash_ids`, `think_time`, `api_time`, and nested `requests[]` for a sub-agent). Kept: prompts as 64-token
block ids, hence the growing history; tool and human pauses; sub-agents. Left out: the time that the recorded service
took, since a backend supplies its own.

How times are read, from what the recordings agree on:

* A main call's `t` is its start. The pause before it is `think_time`, but never more than the gap since the end of the
  call before: where calls lack an `api_time`, the recorder counted from the last call that had one.
* A sub-agent row's `t` is its end: `t - duration_ms` falls within seconds of the end of the main call before it. So a
  sub-agent starts after that call, several may run side by side, and the next main call waits for all of them.
* A sub-agent's own requests have `t` from its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from traces.importers.blocks import segments_of_blocks
from traces.importers.rows import json_rows, require_rows, require_scale, stem
from traces.validation import validate_workload
from traces.workload import Application, Call, Workload

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Seconds = Annotated[float, msgspec.Meta(ge=0)]


class _Request(msgspec.Struct, rename={"num_prompt_tokens": "in", "num_output_tokens": "out"}):
    """A model call, or (type "subagent") a nested session."""

    t: _Seconds
    type: str
    num_prompt_tokens: _Count = 0
    num_output_tokens: _Count = 0
    hash_ids: tuple[int, ...] = ()
    think_time: _Seconds | None = None
    api_time: _Seconds = 0.0
    duration_ms: _Seconds | None = None
    requests: tuple[_Request, ...] = ()


class _Session(msgspec.Struct):
    id: str
    block_size: Annotated[int, msgspec.Meta(ge=1)]
    requests: tuple[_Request, ...]


@dataclass(frozen=True, slots=True)
class _Turn:
    """A model call with its place in the graph."""

    id: str
    stage: str
    request: _Request
    deps: tuple[str, ...]
    pause: float  # seconds between the end of the last dependency and the start
    end: float  # seconds from the start of the session, as recorded


def import_coding_agent(
    path: Path | str, arrivals: np.ndarray | None = None, *, limit: int | None = None, time_scale: float = 1.0
) -> Workload:
    """One application for each session: a chain of turns, with sub-agents between turns where there were some.

    Parameters
    ----------
    path : Path or str
        JSONL, gzipped or not.
    arrivals : (num_sessions,) float array, seconds, optional
        The recordings do not say when sessions began relative to each other; all at 0 by default.
    limit : int, optional
        Take the first `limit` sessions only.
    time_scale : float
        Factor on the pauses.

    Raises
    ------
    ValueError
        For a session that does not fit, with file, line, field, value and rule; for fewer arrivals than sessions.

    Notes
    -----
    A recorded output of 0 tokens (12 of 19,195 calls of the published sample) becomes 1: a call that generates nothing
    cannot be run. Turns carry their history as text, not as `output_of`: the ids already say which blocks repeat.
    """
    require_scale(time_scale)
    sessions = []
    for index, (where, session) in enumerate(json_rows(path, _Session, limit)):
        if arrivals is not None and index >= len(arrivals):
            raise ValueError(f"{where}: {len(arrivals)} arrivals must be at least as many as sessions")
        arrival = 0.0 if arrivals is None else float(arrivals[index])
        calls = _calls(session, f"{where}: session {session.id!r}", time_scale)
        sessions.append(Application(session.id, arrival, calls))
    require_rows(path, sessions)
    workload = Workload(stem(path), tuple(sessions))
    validate_workload(workload, source=str(path))
    return workload


def _calls(session: _Session, where: str, time_scale: float) -> tuple[Call, ...]:
    turns = _lay_out(session.requests)
    for turn in turns:
        _require_blocks(turn, session.block_size, where)
    prompts = segments_of_blocks(
        [turn.request.hash_ids for turn in turns],
        [turn.request.num_prompt_tokens for turn in turns],
        session.block_size,
        session.id,
    )
    return tuple(
        Call(
            turn.id,
            prompt,
            max(1, turn.request.num_output_tokens),
            stage=turn.stage,
            deps=turn.deps,
            delay=turn.pause * time_scale,
        )
        for turn, prompt in zip(turns, prompts, strict=True)
    )


def _lay_out(requests: Sequence[_Request]) -> list[_Turn]:
    """Calls of a session in recorded order, sub-agents' between the main calls around them."""
    turns: list[_Turn] = []
    after: list[_Turn] = []  # what the next main call waits for
    main: _Turn | None = None
    for index, request in enumerate(requests):
        if request.type != "subagent":
            main = _turn(f"turn{index}", "turn", request, request.t, after)
            turns.append(main)
            after = [main]
        elif request.requests:
            nested = _lay_out_subagent(index, request, main)
            turns += nested
            if request.duration_ms is not None:
                after = [*(turn for turn in after if turn is not main), nested[-1]]
    return turns


def _lay_out_subagent(index: int, row: _Request, main: _Turn | None) -> list[_Turn]:
    """A sub-agent's chain of calls, the first after the main call that spawned it."""
    spawned = max(row.t - (row.duration_ms or 0.0) / 1000, main.end if main else 0.0)
    turns: list[_Turn] = []
    for number, request in enumerate(row.requests):
        after = turns[-1:] or ([main] if main else [])
        turns.append(_turn(f"agent{index}.{number}", "subagent", request, spawned + request.t, after))
    return turns


def _turn(call_id: str, stage: str, request: _Request, start: float, after: Sequence[_Turn]) -> _Turn:
    pause = max(0.0, start - max((turn.end for turn in after), default=0.0))
    if request.think_time is not None and [turn.stage for turn in after] == [stage]:
        pause = min(pause, request.think_time)  # recorded between two calls of the same thread
    return _Turn(call_id, stage, request, tuple(turn.id for turn in after), pause, start + request.api_time)


def _require_blocks(turn: _Turn, block_size: int, where: str) -> None:
    num_tokens, num_ids = turn.request.num_prompt_tokens, len(turn.request.hash_ids)
    if num_tokens < 1:
        raise ValueError(f"{where}, call {turn.id!r}: in={num_tokens} must be a positive integer")
    if num_ids > -(-num_tokens // block_size):
        raise ValueError(
            f"{where}, call {turn.id!r}: hash_ids of {num_ids} blocks must not exceed in={num_tokens} tokens"
            f" at block_size={block_size}"
        )
