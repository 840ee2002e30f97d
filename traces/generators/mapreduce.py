"""Map-reduce: independent calls over the chunks of a document, then one call over all their outputs."""

from __future__ import annotations

import numpy as np

from traces.generators.building import build, require_positive
from traces.workload import Call, Segment, Workload, output_of, text


def map_reduce(
    num_maps: int,
    arrivals: np.ndarray | None = None,
    *,
    chunk_tokens: int = 1000,
    instruction_tokens: int = 10,
    output_tokens: int = 50,
) -> Workload:
    """Map-reduce applications, by default with the lengths of the benchmark notes.

    Each map's prompt is the instruction, its own chunk and a closing text; the reduce call's is its instruction, the
    outputs of all maps in order and a closing text.

    Parameters
    ----------
    num_maps : int
        15 on one GPU and 30 on four in the notes.
    arrivals : (num_applications,) float array, seconds, optional
        One application an instant; one at 0 by default.
    chunk_tokens : int, tokens
    instruction_tokens : int, tokens
        Length of the instruction before, and of the text after, the chunk or the outputs.
    output_tokens : int, tokens
        Of every call.

    Notes
    -----
    Lengths (10 + 1000 + 10 in, 50 out; reduce 10 + 50 n + 10 in) are those of the code that the benchmark notes were
    made with. Instructions are the same text in every application; chunks are not.

    Examples
    --------
    >>> [call.id for call in map_reduce(2).applications[0].calls]
    ['map0', 'map1', 'reduce']
    """
    require_positive(
        num_maps=num_maps, chunk_tokens=chunk_tokens, instruction_tokens=instruction_tokens, output_tokens=output_tokens
    )

    def calls(app_id: str, _: int) -> list[Call]:
        return map_reduce_calls(app_id, [chunk_tokens] * num_maps, instruction_tokens, output_tokens)

    return build(f"map-reduce {num_maps}x{chunk_tokens}", "mr", arrivals, calls)


def map_reduce_calls(app_id: str, chunk_tokens: list[int], instruction_tokens: int, output_tokens: int) -> list[Call]:
    """Calls of one map-reduce application over chunks of the given lengths, tokens; no instructions when 0 long."""

    def wrapped(role: str, content: list[Segment]) -> tuple[Segment, ...]:
        if instruction_tokens == 0:
            return tuple(content)
        return text(f"{role}-instruction", instruction_tokens), *content, text(f"{role}-closing", instruction_tokens)

    maps = [
        Call(f"map{i}", wrapped("map", [text(f"{app_id}-chunk{i}", tokens)]), output_tokens, stage="map")
        for i, tokens in enumerate(chunk_tokens)
    ]
    names = tuple(call.id for call in maps)
    prompt = wrapped("reduce", [output_of(name) for name in names])
    return [*maps, Call("reduce", prompt, output_tokens, stage="reduce", deps=names)]
