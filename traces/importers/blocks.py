"""Prompts given as lists of block ids become prompts of segments, with exactly the same shared beginnings.

Published traces describe a prompt by one id for each block of B tokens; equal leading ids mean shared text. A segment
for each block would make prompts of thousands of segments, so runs of blocks that every prompt enters and leaves
together become one segment: the edges of the radix tree (compressed trie) over all prompts. Two prompts of the result
share as many leading tokens as in the trace, min(common leading ids x B, either length), and no more.
"""

from __future__ import annotations

from collections.abc import Sequence

from traces.workload import Segment, text


class _Node:
    """End of a segment: `depth` tokens from the beginning of the prompt, reached from `parent`."""

    __slots__ = ("depth", "parent", "segment")

    def __init__(self, depth: int, parent: _Node | None) -> None:
        self.depth = depth
        self.parent = parent
        self.segment: Segment | None = None


def segments_of_blocks(
    block_ids: Sequence[Sequence[int]], lengths: Sequence[int], block_size: int, name: str
) -> list[tuple[Segment, ...]]:
    """Prompts as segments.

    Parameters
    ----------
    block_ids : sequence of sequence of int
        One a prompt: its block ids in order. Ids that differ only in what stands before them are different text.
    lengths : sequence of int, tokens
        Of each prompt. The last block may be partial; tokens beyond the blocks are text that nobody shares.
    block_size : int, tokens
    name : str
        Opens the names of all segments; prompts of different names share nothing.

    Returns
    -------
    list of tuple of Segment
        In the order of `block_ids`; equal stretches are the same object.
    """
    order = sorted(range(len(lengths)), key=lambda i: (block_ids[i], lengths[i]))
    covered = [min(length, len(ids) * block_size) for ids, length in zip(block_ids, lengths, strict=True)]
    root = _Node(0, None)
    path = [root]  # from the root to the end of the prompt before, in sorted order
    ends: list[_Node] = [root] * len(lengths)
    previous: int | None = None
    for i in order:
        shared = 0
        if previous is not None:
            common = num_common(block_ids[previous], block_ids[i]) * block_size
            shared = min(common, covered[previous], covered[i])
        ends[i] = _insert(path, shared, covered[i])
        previous = i
    cut = _Cutter(name)
    prompts = [cut.segments_to(end) for end in ends]
    return [
        prompt if length == held else (*prompt, text(f"{name}-tail{i}", length - held))
        for i, (prompt, length, held) in enumerate(zip(prompts, lengths, covered, strict=True))
    ]


def num_common(first: Sequence[int], second: Sequence[int]) -> int:
    """Number of equal leading items, by bisection on slices, which compare at the speed of C."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _insert(path: list[_Node], shared: int, length: int) -> _Node:
    """Branch off `path` after `shared` tokens to a prompt of `length` tokens; return its end, now the end of `path`.

    The usual construction of a tree from sorted strings and their common prefixes: what lies deeper than `shared` is
    finished, and an edge that reaches past it is cut there.
    """
    below = None
    while path[-1].depth > shared:
        below = path.pop()
    if path[-1].depth < shared:
        fork = _Node(shared, path[-1])
        if below is not None:
            below.parent = fork
        path.append(fork)
    if path[-1].depth < length:
        path.append(_Node(length, path[-1]))
    return path[-1]


class _Cutter:
    """Turns paths of the finished tree into segments, numbered in order of first use."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._num_segments = 0

    def segments_to(self, end: _Node) -> tuple[Segment, ...]:
        nodes = []
        while end.parent is not None:
            nodes.append(end)
            end = end.parent
        return tuple(self._segment(node) for node in reversed(nodes))

    def _segment(self, node: _Node) -> Segment:
        if node.segment is None:
            start = node.parent.depth if node.parent is not None else 0
            node.segment = text(f"{self._name}-{self._num_segments}", node.depth - start)
            self._num_segments += 1
        return node.segment
