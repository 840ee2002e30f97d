"""Parrot's summarisation workloads: chains and map-reduces over the real chunks of published articles.

CSV with `article, nominal_chunk_size, chunk_index, llama_tokens`. The nominal size is what the published figures are
labelled with; the real chunks are less than half as long, since the splitter overcounted words.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from traces.generators.building import build, require_positive
from traces.generators.mapreduce import map_reduce_calls
from traces.importers.rows import csv_rows, require_rows, whole
from traces.workload import Call, Segment, Workload, output_of, text


def read_article_chunks(path: Path | str) -> dict[tuple[str, int], tuple[int, ...]]:
    """Tokens of each chunk, in order, by article and nominal chunk size.

    Raises
    ------
    ValueError
        For a row that does not fit, with file, line, field, value and rule.
    """
    chunks: dict[tuple[str, int], list[int]] = {}
    for where, row in csv_rows(path, ("article", "nominal_chunk_size", "chunk_index", "llama_tokens")):
        key = row["article"], whole(where, row, "nominal_chunk_size")
        held = chunks.setdefault(key, [])
        if whole(where, row, "chunk_index", least=0) != len(held):
            raise ValueError(f"{where}: chunk_index={row['chunk_index']} must be {len(held)}, the next of its article")
        held.append(whole(where, row, "llama_tokens"))
    require_rows(path, chunks)
    return {key: tuple(tokens) for key, tokens in chunks.items()}


def article_chain(
    chunk_tokens: Sequence[int],
    arrivals: np.ndarray | None = None,
    *,
    output_tokens: int = 50,
    instruction_tokens: int = 0,
) -> Workload:
    """Chain over an article: each call reads the next chunk and the summary so far.

    Parameters
    ----------
    chunk_tokens : sequence of int, tokens
        One call a chunk (`read_article_chunks`).
    arrivals : (num_applications,) float array, seconds, optional
        One application an instant; one at 0 by default.
    output_tokens : int, tokens
        Of every call; 25, 50, 75 or 100 in the published figures.
    instruction_tokens : int, tokens
        Opens each prompt. Not published with the chunk lengths, hence 0 by default; figures that were fitted on real
        chunk tokens plus output tokens have it in their constants.
    """
    require_positive(output_tokens=output_tokens)
    opening = (text("chain-instruction", instruction_tokens),) if instruction_tokens else ()

    def calls(app_id: str, _: int) -> list[Call]:
        made: list[Call] = []
        for i, tokens in enumerate(chunk_tokens):
            before = (made[-1].id,) if made else ()
            prompt: tuple[Segment, ...] = (*opening, text(f"{app_id}-chunk{i}", tokens), *map(output_of, before))
            made.append(Call(f"call{i}", prompt, output_tokens, stage="chain", deps=before))
        return made

    return build(f"article chain of {len(chunk_tokens)}", "chain", arrivals, calls)


def article_map_reduce(
    chunk_tokens: Sequence[int],
    arrivals: np.ndarray | None = None,
    *,
    output_tokens: int = 50,
    instruction_tokens: int = 0,
) -> Workload:
    """Map-reduce over an article: one map call a chunk, then one call over all summaries; parameters as the chain's."""
    require_positive(output_tokens=output_tokens)

    def calls(app_id: str, _: int) -> list[Call]:
        return map_reduce_calls(app_id, list(chunk_tokens), instruction_tokens, output_tokens)

    return build(f"article map-reduce of {len(chunk_tokens)}", "mr", arrivals, calls)
