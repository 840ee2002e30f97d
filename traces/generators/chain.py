"""Chains: each call's prompt carries the output of the call before it, so nothing can run in parallel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from traces.arrivals import all_at_once
from traces.generators.building import build, require_positive
from traces.workload import Call, Segment, Workload, output_of, text


@dataclass(frozen=True, slots=True)
class ChainShape:
    """Lengths of a chain, by default those of the code that the benchmark notes were made with.

    Parameters
    ----------
    num_calls : int
    chunk_tokens : int, tokens
        New text that opens each call's prompt.
    first_tokens : int, tokens
        Stands in the first prompt where the others have the output of the call before.
    closing_tokens : int, tokens
        Ends each prompt.
    output_tokens : int, tokens
    """

    num_calls: int = 20
    chunk_tokens: int = 670
    first_tokens: int = 100
    closing_tokens: int = 10
    output_tokens: int = 20

    def __post_init__(self) -> None:
        require_positive(**{name: getattr(self, name) for name in self.__slots__})


#: The chain of the benchmark notes: 20 calls of 670 + 20 (first: 100) + 10 tokens, 20 out.
NOTES_CHAIN = ChainShape()


def chain(arrivals: np.ndarray | None = None, shape: ChainShape = NOTES_CHAIN) -> Workload:
    """Applications that are chains; no two calls share a prompt's beginning.

    Parameters
    ----------
    arrivals : (num_applications,) float array, seconds, optional
        One application an instant; one at 0 by default.
    shape : ChainShape

    Examples
    --------
    >>> chain().applications[0].calls[1].deps
    ('call0',)
    """
    return build(
        f"chain of {shape.num_calls}", "chain", arrivals, lambda app_id, _: _chain_calls(app_id, shape, prefix=())
    )


def prefixed_chain(prefix_tokens: int, arrivals: np.ndarray | None = None, shape: ChainShape = NOTES_CHAIN) -> Workload:
    """Chains of which every call, in every application, opens with the same `prefix_tokens` tokens of text."""
    require_positive(prefix_tokens=prefix_tokens)
    prefix = (text("constant-prefix", prefix_tokens),)
    name = f"chain of {shape.num_calls} with a prefix of {prefix_tokens}"
    return build(name, "chain", arrivals, lambda app_id, _: _chain_calls(app_id, shape, prefix))


def concurrent_chains(num_chains: int, shape: ChainShape = NOTES_CHAIN) -> Workload:
    """`num_chains` chains that all arrive at 0; the notes run 16 clients."""
    return chain(all_at_once(num_chains), shape)


def _chain_calls(app_id: str, shape: ChainShape, prefix: tuple[Segment, ...]) -> list[Call]:
    calls: list[Call] = []
    closing = text("chain-closing", shape.closing_tokens)
    for i in range(shape.num_calls):
        carried = output_of(calls[-1].id) if calls else text(f"{app_id}-opening", shape.first_tokens)
        calls.append(
            Call(
                f"call{i}",
                (*prefix, text(f"{app_id}-chunk{i}", shape.chunk_tokens), carried, closing),
                shape.output_tokens,
                stage="chain",
                deps=(calls[-1].id,) if calls else (),
            )
        )
    return calls
