"""Map-reduce: independent calls over the chunks of a document, then one call over all their outputs."""

from __future__ import annotations

import numpy as np

from traces.generators.building import at_start, build, require_positive
from traces.workload import Application, Call, Workload, output_of, text


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
    head, tail = text("map-instruction", instruction_tokens), text("map-closing", instruction_tokens)

    def application(app_id: str, arrival: float) -> Application:
        maps = tuple(
            Call(f"map{i}", (head, text(f"{app_id}-chunk{i}", chunk_tokens), tail), output_tokens, stage="map")
            for i in range(num_maps)
        )
        names = tuple(call.id for call in maps)
        prompt = (
            text("reduce-instruction", instruction_tokens),
            *(output_of(name) for name in names),
            text("reduce-closing", instruction_tokens),
        )
        return Application(app_id, arrival, (*maps, Call("reduce", prompt, output_tokens, stage="reduce", deps=names)))

    return build(
        f"map-reduce {num_maps}x{chunk_tokens}", "mr", at_start(1) if arrivals is None else arrivals, application
    )
