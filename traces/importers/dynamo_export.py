"""Export to Dynamo's agentic Mooncake format, which `traces.importers.dynamo` describes and reads.

What the format cannot carry is lost: which earlier output a prompt quotes (its blocks' ids remain), stages, deadlines,
predictions, priorities, and shared text that ends within a block. An application whose first call has a delay arrives
later instead.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from traces.validation import validate_workload
from traces.workload import Application, Call, Workload, num_prompt_tokens


class _Text(NamedTuple):
    """What stands in a prompt: the named text or, with `app`, the output of one of its calls."""

    app: str | None
    name: str
    tokens: int


class _Position(NamedTuple):
    """Where a prompt stands after some text: the id of the last full block, and the pieces of the block begun."""

    parent: int
    pieces: tuple[tuple[_Text, int, int], ...]  # text, first token, number of tokens
    held: int


_START = _Position(-1, (), 0)


class BlockIds:
    """Numbers the blocks of prompts; equal leading blocks, and only those, get equal ids.

    Parameters
    ----------
    block_size : int, tokens
    """

    def __init__(self, block_size: int) -> None:
        if type(block_size) is not int or block_size < 1:
            raise ValueError(f"block_size={block_size!r} must be a positive integer")
        self._block_size = block_size
        self._ids: dict[tuple[int, tuple[tuple[_Text, int, int], ...]], int] = {}
        # Runs of blocks by where they begin, since a long history is repeated by every later turn.
        self._runs: dict[tuple[_Position, _Text], tuple[tuple[int, ...], _Position]] = {}

    def of_prompt(self, application: Application, call: Call) -> list[int]:
        """Block ids of the prompt of `call`; the last block may be partial."""
        outputs = {each.id: each.output_tokens for each in application.calls}
        ids: list[int] = []
        position = _START
        for part in call.prompt:
            if part.output_of is None:
                content = _Text(None, part.segment or "", part.tokens or 0)
            else:
                content = _Text(application.id, part.output_of, outputs[part.output_of])
            if (position, content) not in self._runs:
                self._runs[position, content] = self._run(position, content)
            run, position = self._runs[position, content]
            ids.extend(run)
        if position.held:
            ids.append(self._id(position.parent, position.pieces))
        return ids

    def _run(self, position: _Position, content: _Text) -> tuple[tuple[int, ...], _Position]:
        """Ids of the blocks that `content` fills, and where it ends."""
        ids = []
        parent, pieces, held = position
        start = 0
        while held + content.tokens - start >= self._block_size:
            taken = self._block_size - held
            parent = self._id(parent, (*pieces, (content, start, taken)))
            ids.append(parent)
            start, pieces, held = start + taken, (), 0
        if start < content.tokens:
            pieces = (*pieces, (content, start, content.tokens - start))
            held += content.tokens - start
        return tuple(ids), _Position(parent, pieces, held)

    def _id(self, parent: int, pieces: tuple[tuple[_Text, int, int], ...]) -> int:
        return self._ids.setdefault((parent, pieces), len(self._ids))


def export_dynamo(workload: Workload, path: Path | str, *, block_size: int = 512) -> None:
    """Write one row a call: request ids are `application/call`, the session is the application.

    Parameters
    ----------
    workload : Workload
    path : Path or str
        `.jsonl`, or `.jsonl.gz`.
    block_size : int, tokens
        Tokens that one hash id stands for; the reader must be told.

    Raises
    ------
    ValueError
        When the workload is not valid.
    OSError
        When the file cannot be written.
    """
    path = Path(path)
    validate_workload(workload, source=str(path))
    blocks = BlockIds(block_size)
    data = msgspec.json.Encoder().encode_lines(
        row for application in workload.applications for row in _rows(application, blocks)
    )
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def _rows(application: Application, blocks: BlockIds) -> Iterable[dict[str, object]]:
    outputs = {call.id: call.output_tokens for call in application.calls}
    for call in application.calls:
        row: dict[str, object] = {
            "request_id": f"{application.id}/{call.id}",
            "session_id": application.id,
            "input_length": num_prompt_tokens(call, outputs),
            "output_length": call.output_tokens,
            "hash_ids": blocks.of_prompt(application, call),
        }
        if call.deps:
            row["wait_for"] = [f"{application.id}/{dep}" for dep in call.deps]
            row["tool_wait_ms"] = call.delay * 1000
        else:
            row["timestamp"] = (application.arrival + call.delay) * 1000
        yield row
