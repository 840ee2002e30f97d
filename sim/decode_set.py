"""The requests of an engine that decode one token a step, held so that a step costs the same whatever their number.

`tick` counts decode steps. A request joins with an offset to it, so its computed tokens are `offset + tick`, and with
the tick of its last token. A step then changes one counter: the sum of contexts follows from the sum of offsets, the
demand for KV blocks from one counter per phase (how many requests start a block at each tick, modulo the block size),
the next end from a heap whose stale entries are skipped. What the members share changes only with the members: an
extent of the prefix cache knows how many of them read it.
"""

from __future__ import annotations

from heapq import heappop, heappush

from sim.kv_cache import parts_of
from sim.request import Request, State
from sim.step_cost import UNSHARED, Sharing


class DecodeSet:
    """Decoding requests of one engine.

    Parameters
    ----------
    block_size : int
        Tokens in a KV block.
    """

    __slots__ = ("_block_size", "_demand", "_ends", "_sum_offsets", "ended", "sharing", "size", "tick", "version")

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self._sum_offsets = 0
        self._demand = [0] * (2 * block_size)  # blocks needed at each tick modulo the block size, twice over to slice
        self._ends: list[tuple[int, int, Request]] = []
        self.ended: list[Request] = []  # members whose last token is planned, for the owner to take
        self.size = 0
        self.tick = 0
        self.version = 0  # changes whenever the members do
        self.sharing = UNSHARED  # KV blocks that several members hold

    @property
    def num_context_tokens(self) -> int:
        """Tokens the requests attend to in the next step, summed."""
        return self._sum_offsets + self.size * (self.tick + 1)

    def num_computed(self, request: Request) -> int:
        """Tokens of a member whose KV is computed, or under way."""
        return request.offset + self.tick

    def num_left(self, request: Request) -> int:
        """Decode steps a member still needs."""
        return request.end_tick - self.tick

    def join(self, request: Request, num_computed: int, num_left: int) -> None:
        """Add a request with `num_computed` tokens computed that has `num_left` to decode, at least one."""
        tick = self.tick
        request.state = State.DECODE
        request.offset = offset = num_computed - tick
        request.end_tick = end_tick = tick + num_left
        heappush(self._ends, (end_tick, request.admission, request))
        self.version += 1
        self.size += 1
        self._sum_offsets += offset
        phase = -offset % self._block_size
        self._demand[phase] += 1
        self._demand[phase + self._block_size] += 1
        if request.held:
            self._note_readers(request, 1)

    def leave(self, request: Request) -> None:
        """Remove a member; its heap entry goes stale."""
        request.end_tick = -1
        self.version += 1
        self.size -= 1
        self._sum_offsets -= request.offset
        phase = -request.offset % self._block_size
        self._demand[phase] -= 1
        self._demand[phase + self._block_size] -= 1
        if request.held:
            self._note_readers(request, -1)

    def _note_readers(self, request: Request, change: int) -> None:
        """Count a member among the readers of what it holds of the prefix cache, or no longer."""
        num_repeated, num_distinct, num_pair_tokens = self.sharing
        for extent, end in request.held:
            for part in parts_of(extent, end):
                before, after = part.num_readers, part.num_readers + change
                part.num_readers = after
                num_tokens = (part.high - part.low) * self._block_size
                if before and after:
                    num_repeated += change * num_tokens
                    num_pair_tokens += change * num_tokens * min(before, after)
                    if before + after == 3:  # from one reader to two, or back
                        num_distinct += change * num_tokens
        self.sharing = Sharing(num_repeated, num_distinct, num_pair_tokens) if num_repeated else UNSHARED

    def steps_to_next_end(self) -> int:
        """Steps until a member has had its last token; 0 when there is no member."""
        ends = self._ends
        while ends:
            end_tick, _, request = ends[0]
            if request.end_tick == end_tick:
                return end_tick - self.tick
            heappop(ends)
        return 0

    def block_demand(self) -> int:
        """KV blocks the members need for the next step."""
        return self._demand[self.tick % self._block_size]

    def needs_block(self, request: Request) -> bool:
        """Whether the next step of a member starts a new block."""
        return (request.offset + self.tick) % self._block_size == 0

    def steps_within(self, num_blocks: int, limit: int) -> int:
        """Steps, at most `limit`, that `num_blocks` free blocks allow."""
        if self.size * -(-limit // self._block_size) <= num_blocks:
            return limit
        cycles = num_blocks // self.size
        num_steps, left = cycles * self._block_size, num_blocks - cycles * self.size
        while num_steps < limit:
            left -= self._demand[(self.tick + num_steps) % self._block_size]
            if left < 0:
                return num_steps
            num_steps += 1
        return limit

    def advance(self, num_steps: int) -> int:
        """Decode `num_steps` steps, none past the next end; returns the KV blocks they take.

        Members that have had their last token leave and are found in `ended`.
        """
        size, block_size = self.size, self._block_size
        phase = self.tick % block_size
        self.tick = tick = self.tick + num_steps
        if num_steps == 1:
            num_blocks = self._demand[phase]
        elif num_steps < block_size:
            num_blocks = sum(self._demand[phase : phase + num_steps])
        else:
            cycles, rest = divmod(num_steps, block_size)
            num_blocks = cycles * size + sum(self._demand[phase : phase + rest])
        ends = self._ends
        while ends and ends[0][0] <= tick:
            end_tick, _, request = heappop(ends)
            if request.end_tick == end_tick:
                self.leave(request)
                request.state = State.LAST
                self.ended.append(request)
        return num_blocks
