"""Which KV blocks the decoding requests of a step share, read from vLLM's descriptions of steps."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from sim.sharing import SharedTokens
from sim.step_cost import Sharing

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import SchedulerOutput


class StepSharing:
    """Follows block tables from step to step. Every step must be shown, in order.

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

    def read(self, output: SchedulerOutput, prefilling: Collection[str]) -> Sharing:
        """What the decoding requests of the next step share; `prefilling` are its other requests."""
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

    def _note_blocks(self, output: SchedulerOutput, prefilling: Collection[str]) -> None:
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
