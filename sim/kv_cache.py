"""Paged KV memory with vLLM's prefix cache: which blocks are free, which hold reusable content, which go first.

Copies the behaviour of vLLM 0.24's `BlockPool` and `KVCacheManager` for full attention, to the block:

* Freed blocks without a content hash go to the front of the free queue, hashed ones to its back, deepest block first.
* Allocation takes from the front and so evicts the least recently freed content; a hit takes blocks out of the queue.
* Content is not de-duplicated: a call that recomputes a block adds a second copy, and a hit takes the oldest copy.

Blocks are not kept one by one. The blocks of one stretch of content (`traces.prefix.PrefixNode`) that were registered
together form an `Extent`; content nobody can look up again is only counted. A request costs a few operations however
long its prompt is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from sim.request import Request
from traces.prefix import PrefixNode


class Extent:
    """Blocks `low` to `high` (exclusive) of one copy of some content.

    `node` is None for content that nobody can look up, which is only counted. `ticket` is the place in the free queue,
    0 when held. `above` is the extent that was split off the top while this one was held. `num_readers` are those of
    the holders that decode (`sim.decode_set`).
    """

    __slots__ = ("above", "high", "low", "node", "num_holders", "num_readers", "ticket")

    def __init__(self, node: PrefixNode | None, low: int, high: int) -> None:
        self.node = node
        self.low = low
        self.high = high
        self.num_holders = 0
        self.num_readers = 0
        self.ticket = 0
        self.above: Extent | None = None


#: Part of an extent that a lookup found: the extent, and first and last (exclusive) block of the part.
Hit = tuple[Extent, int, int]

_NO_HITS: tuple[Sequence[Hit], int, int] = ((), 0, 0)


class KVCache:
    """The blocks of one engine.

    Parameters
    ----------
    num_blocks : int
        Blocks that can hold tokens (vLLM's count without its null block).
    block_size : int
        Tokens in a block.
    enable_prefix_caching : bool
    """

    def __init__(self, num_blocks: int, block_size: int, *, enable_prefix_caching: bool) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.enable_prefix_caching = enable_prefix_caching
        self.num_free = num_blocks
        self._num_unhashed = num_blocks  # free blocks without content: the front of vLLM's queue
        self._queue: deque[tuple[int, Extent]] = (
            deque()
        )  # free blocks with content, oldest first; stale tickets skipped
        self._num_stale = 0
        self._last_ticket = 0
        self._copies: dict[PrefixNode, list[Extent]] = {}  # registered extents, oldest registration first

    def lookup(self, request: Request) -> tuple[Sequence[Hit], int, int]:
        """Longest cached prefix of a request's known tokens, short of the last one, which must be computed.

        Returns
        -------
        hits : list of Hit
        num_hit_blocks : int
        num_evictable_blocks : int
            How many of them lie in the free queue, and so count against free memory when taken.
        """
        if not request.path or not self.enable_prefix_caching:
            return _NO_HITS
        hits: list[Hit] = []
        limit = (request.num_known - 1) // self.block_size
        position = 0
        for node in request.path:
            stop = min(node.end // self.block_size, limit)
            position = self._lookup_node(node, position, stop, hits)
            if position < stop:
                break
        return hits, position, sum(high - low for extent, low, high in hits if extent.num_holders == 0)

    def _lookup_node(self, node: PrefixNode, position: int, stop: int, hits: list[Hit]) -> int:
        """Extend `hits` through one node; where copies overlap, each block comes from the oldest."""
        copies = self._copies.get(node, ())
        while position < stop:
            end = stop
            for extent in copies:
                if extent.low <= position < extent.high:
                    end = min(end, extent.high)
                    break
                if position < extent.low < end:
                    end = extent.low
            else:
                return position
            hits.append((extent, position, end))
            position = end
        return position

    def take(self, request: Request, hits: Sequence[Hit], num_new_blocks: int) -> None:
        """Give a request the blocks of a lookup and `num_new_blocks` more. They must be free: the scheduler checks."""
        request.num_hashed = hits[-1][2] if hits else 0
        for extent, low, high in hits:
            part = self._isolate(extent, low, high)
            if part.num_holders == 0:
                part.ticket = 0
                self._num_stale += 1
                self.num_free -= high - low
            part.num_holders += 1
            request.held.append((part, high))
        self.allocate(num_new_blocks)

    def allocate(self, num_blocks: int) -> None:
        """Take blocks from the front of the free queue, evicting content where it must."""
        self.num_free -= num_blocks
        if num_blocks <= self._num_unhashed:
            self._num_unhashed -= num_blocks
            return
        num_evicted = num_blocks - self._num_unhashed
        self._num_unhashed = 0
        while num_evicted:
            ticket, extent = self._queue[0]
            if extent.ticket != ticket:
                self._queue.popleft()
                self._num_stale -= 1
                continue
            num_taken = min(num_evicted, extent.high - extent.low)
            extent.high -= num_taken
            num_evicted -= num_taken
            if extent.high == extent.low:
                self._queue.popleft()
                self._forget(extent)

    def register(self, request: Request, num_full_blocks: int) -> None:
        """Enter the request's leading full blocks into the cache's index, from where it stopped last time on.

        Content that nobody shares is not entered; it is counted when it is freed.
        """
        start = request.num_hashed
        if num_full_blocks <= start or not self.enable_prefix_caching:
            return
        request.num_hashed = num_full_blocks
        for node in request.path:
            low = max(start, node.start // self.block_size)
            high = min(num_full_blocks, node.end // self.block_size)
            if low < high:
                extent = Extent(node, low, high)
                extent.num_holders = 1
                self._copies.setdefault(node, []).append(extent)
                request.held.append((extent, high))

    def release(self, request: Request, num_held_blocks: int, *, keep_private: bool) -> None:
        """Free everything a request holds, its last block first.

        Parameters
        ----------
        num_held_blocks : int
            Blocks the request holds; those beyond its hashed ones lose their content.
        keep_private : bool
            Whether the request itself may look up its private content again (it was preempted).
        """
        num_hashed = request.num_hashed
        self.num_free += num_held_blocks
        self._num_unhashed += num_held_blocks - num_hashed
        num_shared = min(num_hashed, request.path[-1].end // self.block_size) if request.path else 0
        if num_hashed > num_shared:
            if keep_private:
                self._queue_for_return(request, num_shared, num_hashed)
            else:
                self._queue_unknown(num_hashed - num_shared)
        if request.held:
            self._release_shared(request)
        request.num_hashed = 0

    def _release_shared(self, request: Request) -> None:
        for extent, end in reversed(request.held):
            for part in reversed(list(parts_of(extent, end))) if extent.above is not None else (extent,):
                part.num_holders -= 1
                if part.num_holders == 0:
                    self._enqueue(part)
                else:
                    self.num_free -= part.high - part.low
        request.held.clear()

    def _queue_for_return(self, request: Request, low: int, high: int) -> None:
        """Queue private content that its request may look up again; from now on that is a node of its path."""
        node = PrefixNode(request.path[-1].end if request.path else 0, request.num_tokens)
        request.path += (node,)
        extent = Extent(node, low, high)
        self._copies[node] = [extent]
        self._enqueue(extent)

    def _queue_unknown(self, num_blocks: int) -> None:
        if self._queue:
            ticket, last = self._queue[-1]
            if last.node is None and last.ticket == ticket:
                last.high += num_blocks
                return
        self._enqueue(Extent(None, 0, num_blocks))

    def _enqueue(self, extent: Extent) -> None:
        self._last_ticket += 1
        extent.ticket = self._last_ticket
        self._queue.append((self._last_ticket, extent))
        if self._num_stale > 1000 and self._num_stale > len(self._queue) // 2:
            self._queue = deque(entry for entry in self._queue if entry[1].ticket == entry[0])
            self._num_stale = 0

    def _isolate(self, extent: Extent, low: int, high: int) -> Extent:
        """Extent of exactly the blocks `low` to `high`, split off `extent` where it is larger."""
        if extent.low == low and extent.high == high:
            return extent
        if extent.num_holders == 0:
            return self._cut_out_of_queue(extent, low, high)
        if low > extent.low:
            extent = self._split_held(extent, low)
        if high < extent.high:
            self._split_held(extent, high)
        return extent

    def _split_held(self, extent: Extent, at: int) -> Extent:
        """Split the top off a held extent; its holders find it through `above`."""
        top = Extent(extent.node, at, extent.high)
        top.num_holders = extent.num_holders
        top.num_readers = extent.num_readers
        top.above = extent.above
        extent.above = top
        extent.high = at
        self._insert_copy(top, after=extent)
        return top

    def _cut_out_of_queue(self, extent: Extent, low: int, high: int) -> Extent:
        """Cut the middle out of a queued extent; what remains keeps its place in the queue, deepest first."""
        middle = Extent(extent.node, low, high)
        middle.ticket = -1  # its place is the remainder's: taking it leaves no stale entry behind
        self._num_stale -= 1
        self._insert_copy(middle, after=extent)
        if extent.low == low:
            extent.low = high
            return middle
        if extent.high > high:
            top = Extent(extent.node, high, extent.high)
            self._last_ticket += 1
            top.ticket = self._last_ticket
            self._queue.insert(self._queue.index((extent.ticket, extent)), (top.ticket, top))
            self._insert_copy(top, after=middle)
        extent.high = low
        return middle

    def _insert_copy(self, extent: Extent, *, after: Extent) -> None:
        assert extent.node is not None  # private content has no copies
        copies = self._copies[extent.node]
        copies.insert(copies.index(after) + 1, extent)

    def _forget(self, extent: Extent) -> None:
        if extent.node is None:
            return
        copies = self._copies[extent.node]
        copies.remove(extent)
        if not copies:
            del self._copies[extent.node]


def parts_of(extent: Extent, end: int) -> Iterator[Extent]:
    """The extent and what was split off it, up to block `end`."""
    part: Extent | None = extent
    while part is not None:
        yield part
        if part.high >= end:
            return
        part = part.above
