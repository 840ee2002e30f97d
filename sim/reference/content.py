"""Token ids for prompts and outputs, so that vLLM's prefix cache sees the sharing that the native engine knows by name.

Which ids they are does not matter to a scheduler, only which are equal.
"""

from __future__ import annotations

from sim.request import Request
from traces.prefix import PrefixNode


class TokenIds:
    """Hands out token ids: the same for the same shared stretch of content, new ones for everything else."""

    def __init__(self) -> None:
        self._first_ids: dict[PrefixNode, int] = {}
        self._next_id = 0

    def of(self, request: Request) -> list[int]:
        """Ids of the prompt and the output of a request, (num_tokens,)."""
        ids: list[int] = []
        for node in request.path:
            if node not in self._first_ids:
                self._first_ids[node] = self._take(node.end - node.start)
            first = self._first_ids[node]
            ids.extend(range(first, first + node.end - node.start))
        first = self._take(request.num_tokens - len(ids))
        ids.extend(range(first, self._next_id))
        return ids

    def _take(self, count: int) -> int:
        first = self._next_id
        self._next_id += count
        return first
