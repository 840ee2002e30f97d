"""Who shares KV blocks in a batch, kept up to date as calls join and leave it.

`SharedTokens` counts the holders of anything that can be shared: a single block by its id, or a stretch of blocks.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from sim.step_cost import Sharing


class SharedTokens:
    """Tokens that several calls of a batch hold in the same KV blocks.

    `sharing` is what `sim.step_cost` charges for. Blocks of a call that nobody else can hold need not be named.
    """

    def __init__(self) -> None:
        self._num_holders: dict[Hashable, int] = {}
        self._num_repeated = 0
        self._num_distinct = 0

    @property
    def sharing(self) -> Sharing:
        """Repeated and distinct shared tokens of the calls that have joined and not left."""
        return Sharing(self._num_repeated, self._num_distinct)

    def join(self, blocks: Iterable[tuple[Hashable, int]]) -> None:
        """Enter one call.

        Parameters
        ----------
        blocks : iterable of (id, num_tokens)
        """
        holders = self._num_holders
        for block, num_tokens in blocks:
            before = holders.get(block, 0)
            holders[block] = before + 1
            if before:
                self._num_repeated += num_tokens
                if before == 1:
                    self._num_distinct += num_tokens

    def leave(self, blocks: Iterable[tuple[Hashable, int]]) -> None:
        """Take out a call that joined with the same blocks."""
        holders = self._num_holders
        for block, num_tokens in blocks:
            before = holders[block]
            if before == 1:
                del holders[block]
                continue
            holders[block] = before - 1
            self._num_repeated -= num_tokens
            if before == 2:
                self._num_distinct -= num_tokens
