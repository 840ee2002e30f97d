"""Parrot's workloads of long shared prompts: four popular custom assistants, and a search copilot.

* Assistants: JSON list of `app_name, prompt_length, query_length, output_length, percentage` (figure 16).
* Copilot: CSV of `prompt_tokens, output_tokens` of whole requests, which all open with one system prompt (figures 14
  and 15).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from traces.arrivals import all_at_once
from traces.files import read_bytes
from traces.generators.building import build, require_positive
from traces.generators.shared import SharedPrompt
from traces.importers.lengths import read_lengths
from traces.workload import Call, Workload, text

#: Tokens of the system prompt that all published copilot requests open with.
COPILOT_PROMPT_TOKENS = 5107

_Count = Annotated[int, msgspec.Meta(ge=1)]


class _Assistant(msgspec.Struct):
    app_name: str
    prompt_length: _Count
    query_length: _Count
    output_length: _Count
    percentage: Annotated[float, msgspec.Meta(ge=0, le=1)]


def read_assistants(path: Path | str) -> list[SharedPrompt]:
    """Assistants for `traces.generators.shared`, weighted by their share of the requests.

    Raises
    ------
    ValueError
        For a file that is no such list; the message names file and position.
    """
    try:
        rows = msgspec.json.decode(read_bytes(Path(path)), type=list[_Assistant])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a list of assistants: {error}") from None
    return [
        SharedPrompt(row.app_name, row.prompt_length, row.query_length, row.output_length, row.percentage)
        for row in rows
    ]


def import_copilot(
    path: Path | str,
    arrivals: np.ndarray | None = None,
    *,
    limit: int | None = None,
    shared_tokens: int = COPILOT_PROMPT_TOKENS,
) -> Workload:
    """One application of one call for each row, its first `shared_tokens` tokens the same text as everyone's.

    Parameters
    ----------
    path : Path or str
        CSV, gzipped or not.
    arrivals : (num_rows,) float array, seconds, optional
        All at 0 by default.
    limit : int, optional
        Take the first `limit` rows only.
    shared_tokens : int, tokens

    Raises
    ------
    ValueError
        For a malformed row, a prompt that is not longer than what is shared, or arrivals of another number.
    """
    require_positive(shared_tokens=shared_tokens)
    lengths = read_lengths(path, limit=limit).tolist()
    for index, (num_prompt_tokens, _) in enumerate(lengths):
        if num_prompt_tokens <= shared_tokens:
            raise ValueError(
                f"{path}: row {index + 1}: prompt_tokens={num_prompt_tokens} must exceed shared_tokens={shared_tokens}"
            )
    instants = all_at_once(len(lengths)) if arrivals is None else arrivals
    if len(instants) != len(lengths):
        raise ValueError(f"{path}: {len(lengths)} rows and {len(instants)} arrivals must be equally many")
    system = text("copilot-prompt", shared_tokens)

    def calls(app_id: str, index: int) -> tuple[Call]:
        num_prompt_tokens, num_output_tokens = lengths[index]
        query = text(f"{app_id}-query", num_prompt_tokens - shared_tokens)
        return (Call("call", (system, query), num_output_tokens),)

    return build("copilot", "r", instants, calls)
