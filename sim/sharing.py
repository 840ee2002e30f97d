"""Who shares KV blocks in a batch, kept up to date as calls join and leave it: for engines that run vLLM's scheduler.

The native engine counts by stretches of blocks instead (`sim.decode_set`).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from typing import Any

from sim.step_cost import Sharing


class SharedTokens:
    """Tokens that several calls of a batch hold in the same KV blocks.

    `sharing` is what `sim.step_cost` charges for. Blocks of a call that nobody else can hold need not be named.
    """

    def __init__(self) -> None:
        self._num_holders: dict[Hashable, int] = {}
        self._num_repeated = 0
        self._num_distinct = 0
        self._num_pair_tokens = 0

    @property
    def sharing(self) -> Sharing:
        """Of the calls that have joined and not left."""
        return Sharing(self._num_repeated, self._num_distinct, self._num_pair_tokens)

    def join(self, blocks: Iterable[tuple[Hashable, int]]) -> None:
        """Enter one call.

        Parameters
        ----------
        blocks : iterable of (id, num_tokens)
            From the first one on.
        """
        holders = self._num_holders
        for block, num_tokens in blocks:
            before = holders.get(block, 0)
            holders[block] = before + 1
            if before:
                self._num_repeated += num_tokens
                self._num_distinct += num_tokens * (before == 1)
                self._num_pair_tokens += num_tokens * before

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
            self._num_distinct -= num_tokens * (before == 2)
            self._num_pair_tokens -= num_tokens * (before - 1)


class StepSharing:
    """Follows the block tables of vLLM's requests from step to step. Every step must be shown, in order.

    Parameters
    ----------
    block_size : int
        Tokens in a KV block.

    Notes
    -----
    Blocks that a request gets while it decodes are its own: they are not looked at.
    """

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self._blocks: dict[str, list[int]] = {}  # by request, as of the end of its prefill
        self._decoding: set[str] = set()
        self._shared = SharedTokens()

    def read(self, output: Any, prefilling: Collection[str]) -> Sharing:
        """What the decoding requests of the next step share.

        Parameters
        ----------
        output : vllm.v1.core.sched.output.SchedulerOutput
        prefilling : collection of str
            The other requests of the step.
        """
        decoding = output.num_scheduled_tokens.keys() - set(prefilling)
        for request_id in self._decoding - decoding:
            self._shared.leave(self._held(request_id))
        for request_id in output.finished_req_ids:
            self._blocks.pop(request_id, None)
        self._note_blocks(output, prefilling)
        for request_id in decoding - self._decoding:
            self._shared.join(self._held(request_id))
        self._decoding = decoding
        return self._shared.sharing

    def _note_blocks(self, output: Any, prefilling: Collection[str]) -> None:
        for new in output.scheduled_new_reqs:
            self._blocks[new.req_id] = list(new.block_ids[0])
        if len(prefilling) == len(output.scheduled_new_reqs):
            return
        cached = output.scheduled_cached_reqs
        for request_id, blocks in zip(cached.req_ids, cached.new_block_ids, strict=True):
            if request_id in cached.resumed_req_ids:
                self._blocks[request_id] = []
            if request_id in prefilling and blocks is not None:
                self._blocks[request_id] += blocks[0]

    def _held(self, request_id: str) -> Iterable[tuple[int, int]]:
        size = self._block_size
        return ((block, size) for block in self._blocks.get(request_id, ()))
