"""Import of Dynamo's agentic Mooncake format: request rows with explicit dependencies and waits.

JSONL, one request a line (ai-dynamo/dynamo, lib/data-gen/src/mooncake.rs, `AgenticMooncakeRow`): `request_id`,
`session_id`, `input_length`, `output_length`, `hash_ids` (one id for each block, the last partial), `wait_for` (request
ids), and in ms `timestamp`, `delay`, `tool_wait_ms`. A row with dependencies starts `delay + tool_wait_ms` after the
last of them has finished; a row without starts at `timestamp`. The aliases `input_tokens`, `output_tokens`,
`created_time` and `delay_ms` are read as well. The block size is not in the file.

Not read: `branches`, `tool_events`, `prefix_reset`, `request_kind` and `priority`, which add nothing to what runs when
or whose meaning belongs to Dynamo's own router. `traces.importers.dynamo_export` writes the format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from traces.importers.blocks import segments_of_blocks
from traces.importers.rows import json_rows, require_rows, require_scale, stem
from traces.validation import validate_workload
from traces.workload import Application, Call, Segment, Workload

_Count = Annotated[int, msgspec.Meta(ge=1)]
_Ms = Annotated[float, msgspec.Meta(ge=0)]


class _Row(msgspec.Struct):
    """A line of the file, under all names that its fields may bear."""

    request_id: str
    session_id: str | None = None
    input_length: _Count | None = None
    input_tokens: _Count | None = None
    output_length: _Count | None = None
    output_tokens: _Count | None = None
    hash_ids: tuple[int, ...] | None = None
    timestamp: _Ms | None = None
    created_time: _Ms | None = None
    delay: _Ms | None = None
    delay_ms: _Ms | None = None
    tool_wait_ms: _Ms | None = None
    wait_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Request:
    """A row with its aliases resolved; times in seconds."""

    id: str
    session: str | None
    num_prompt_tokens: int
    num_output_tokens: int
    hash_ids: tuple[int, ...]
    at: float
    pause: float
    deps: tuple[str, ...]


def import_dynamo(
    path: Path | str, *, block_size: int = 512, limit: int | None = None, time_scale: float = 1.0
) -> Workload:
    """One application for each set of rows that `wait_for` or a `session_id` ties together.

    Parameters
    ----------
    path : Path or str
        JSONL, gzipped or not.
    block_size : int, tokens
        Tokens that one hash id stands for; Dynamo's replay takes it as an option, too.
    limit : int, optional
        Take the first `limit` rows only; one of them that waits for a later row is refused.
    time_scale : float
        Factor on all times.

    Raises
    ------
    ValueError
        For a row that does not fit, with file, line, field, value and rule.
    """
    require_scale(time_scale)
    requests: dict[str, _Request] = {}
    for where, row in json_rows(path, _Row, limit):
        if row.request_id in requests:
            raise ValueError(f"{where}: request_id={row.request_id!r} must be unique in the file")
        requests[row.request_id] = _request(row, where, block_size, time_scale)
    require_rows(path, requests)
    _require_known_deps(path, requests)
    listed = list(requests.values())
    prompts = segments_of_blocks(
        [request.hash_ids for request in listed],
        [request.num_prompt_tokens for request in listed],
        block_size,
        "block",
    )
    prompt_of = dict(zip(requests, prompts, strict=True))
    applications = tuple(_application(group, prompt_of) for group in _tied_together(listed))
    workload = Workload(stem(path), applications)
    validate_workload(workload, source=str(path))
    return workload


def _request(row: _Row, where: str, block_size: int, time_scale: float) -> _Request:
    num_output_tokens = row.output_length or row.output_tokens
    if row.hash_ids is None or num_output_tokens is None:
        missing = "hash_ids" if row.hash_ids is None else "output_length"
        raise ValueError(f"{where}: {missing} is missing; a request must have it")
    num_prompt_tokens = row.input_length or row.input_tokens or len(row.hash_ids) * block_size
    if len(row.hash_ids) > -(-num_prompt_tokens // block_size) or not num_prompt_tokens:
        raise ValueError(
            f"{where}: hash_ids of {len(row.hash_ids)} blocks must not exceed input_length={num_prompt_tokens} tokens"
            f" at block_size={block_size}, and one of the two must be given"
        )
    at = row.timestamp if row.timestamp is not None else row.created_time
    delay = row.delay if row.delay is not None else row.delay_ms
    return _Request(
        row.request_id,
        row.session_id,
        num_prompt_tokens,
        num_output_tokens,
        row.hash_ids,
        (at or 0.0) / 1000 * time_scale,
        ((delay or 0.0) + (row.tool_wait_ms or 0.0)) / 1000 * time_scale,
        row.wait_for,
    )


def _require_known_deps(path: Path | str, requests: Mapping[str, _Request]) -> None:
    for request in requests.values():
        for dep in request.deps:
            if dep not in requests:
                raise ValueError(f"{path}: request {request.id!r}: wait_for={dep!r} must be a request of the file")


def _tied_together(requests: Iterable[_Request]) -> list[list[_Request]]:
    """Requests grouped by session and dependency, groups and their members in order of the file (union-find)."""
    leader: dict[str, str] = {}

    def find(key: str) -> str:
        while leader.setdefault(key, key) != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    groups: dict[str, list[_Request]] = {}
    for request in requests:
        ties = [f"request {dep}" for dep in request.deps]
        if request.session is not None:
            ties.append(f"session {request.session}")
        for tie in ties:
            leader[find(tie)] = find(f"request {request.id}")
    for request in requests:
        groups.setdefault(find(f"request {request.id}"), []).append(request)
    return list(groups.values())


def _application(group: list[_Request], prompt_of: Mapping[str, tuple[Segment, ...]]) -> Application:
    """Arrives with its first request; further requests without dependencies follow at their recorded distance."""
    arrival = min((request.at for request in group if not request.deps), default=0.0)
    app_id = next((request.session for request in group if request.session is not None), group[0].id)
    names = {request.id: request.id.removeprefix(f"{app_id}/") for request in group}
    calls = tuple(
        Call(
            names[request.id],
            prompt_of[request.id],
            request.num_output_tokens,
            deps=tuple(names[dep] for dep in request.deps),
            delay=request.pause if request.deps else request.at - arrival,
        )
        for request in group
    )
    return Application(app_id, arrival, calls)
