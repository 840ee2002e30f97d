"""Mooncake's request traces: arrival times, lengths, and one hash id for each 512-token block of the prompt.

JSONL with `timestamp` (ms), `input_length`, `output_length`, `hash_ids` (kvcache-ai/Mooncake, FAST25-release/traces).
Equal leading ids mean a shared prefix. A conversation's next turn is a row of its own that repeats the ids; the trace
does not say which row it continues, so every row is an application of one call.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from traces.importers.blocks import segments_of_blocks
from traces.importers.rows import json_rows, require_rows, require_scale, stem
from traces.validation import shown, validate_workload
from traces.workload import Application, Call, Workload

#: Tokens in a block of the published traces.
BLOCK_SIZE = 512


class _Row(msgspec.Struct):
    timestamp: Annotated[float, msgspec.Meta(ge=0)]  # ms
    input_length: Annotated[int, msgspec.Meta(ge=1)]
    output_length: Annotated[int, msgspec.Meta(ge=1)]
    hash_ids: list[int]


def import_mooncake(
    path: Path | str, *, block_size: int = BLOCK_SIZE, limit: int | None = None, time_scale: float = 1.0
) -> Workload:
    """One application of one call for each row; prompts share exactly the prefixes that their ids share.

    Parameters
    ----------
    path : Path or str
        JSONL, gzipped or not.
    block_size : int, tokens
        Tokens that one hash id stands for.
    limit : int, optional
        Take the first `limit` rows only.
    time_scale : float
        Factor on arrival times; 0.5 doubles the rate.

    Raises
    ------
    ValueError
        For a row that does not fit, with file, line, field, value and rule.
    """
    require_scale(time_scale)
    rows = []
    for where, row in json_rows(path, _Row, limit):
        if len(row.hash_ids) != -(-row.input_length // block_size):
            raise ValueError(
                f"{where}: hash_ids={shown(row.hash_ids)} must hold one id for each {block_size} of"
                f" input_length={row.input_length} tokens, the last block partial"
            )
        rows.append(row)
    require_rows(path, rows)
    prompts = segments_of_blocks(
        [row.hash_ids for row in rows], [row.input_length for row in rows], block_size, "block"
    )
    applications = tuple(
        Application(f"r{i}", row.timestamp / 1000 * time_scale, (Call("call", prompt, row.output_length),))
        for i, (row, prompt) in enumerate(zip(rows, prompts, strict=True))
    )
    workload = Workload(stem(path), applications)
    validate_workload(workload, source=str(path))
    return workload
