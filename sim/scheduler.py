"""What each step of an engine runs: vLLM V1's scheduler, without time.

Copies vLLM 0.24's `Scheduler` and `AsyncScheduler` for decoder-only text models: running requests first, in order of
admission, then waiting ones while the token budget, the sequence limit and the KV memory last; preemption by
recomputation of the last admitted (or worst priority) request when a running one cannot get a block. With asynchronous
scheduling a step is planned while the one before still runs, so a request whose last token is under way is not planned
again, and its memory comes back one step later.

Left out: speculative decoding, LoRA, multi-modal inputs, KV transfer, pipeline parallelism, sliding windows.

`schedule` plans one step; `run_decodes` plans many at once where nothing but decoding can happen. Both leave the same
state behind.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from sim.decode_set import DecodeSet
from sim.kv_cache import KVCache
from sim.request import Request, State
from sim.settings import EngineSettings
from sim.waiting import ByPriority, FirstComeFirstServed, WaitingQueue


class Blocked(Enum):
    """Why the head of the waiting queue was not admitted."""

    NO = "nothing waits"
    UNTIL_FINISH = "sequence limit or memory: only a finish can help"
    MAYBE = "token budget or a preemption: the next step may help"


@dataclass(slots=True)
class Batch:
    """What one step runs.

    `num_context_tokens` is what the decoding requests attend to and `decode_set` tells their set from others; `prefills` holds (request, new tokens, tokens computed
    before); `completed` those whose known tokens are all computed after this step, so that it gives their next one.
    """

    num_decodes: int = 0
    num_context_tokens: int = 0
    decode_set: int = 0
    prefills: list[tuple[Request, int, int]] = field(default_factory=list)
    completed: list[Request] = field(default_factory=list)
    num_preempted: int = 0


class Scheduler:
    """Requests of one engine and the plan of its next step.

    Parameters
    ----------
    settings : EngineSettings
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._block_size = settings.block_size
        self._watermark_blocks = int(settings.watermark * settings.num_blocks)
        self._by_priority = settings.scheduling_policy == "priority"
        self._num_admissions = 0
        self._num_prefilling = 0
        self._blocked = Blocked.NO
        self._skipped: set[Request] = set()  # decoding requests that the last step left out, for want of budget
        self.kv_cache = KVCache(
            settings.num_usable_blocks, settings.block_size, enable_prefix_caching=settings.enable_prefix_caching
        )
        self.decodes = DecodeSet(settings.block_size)
        self.waiting: WaitingQueue = ByPriority() if self._by_priority else FirstComeFirstServed()
        self.running: dict[Request, None] = {}  # in order of admission
        self.step = -1  # number of the last planned step
        self.last_tokens: deque[tuple[int, Request]] = deque()  # (step, request) of last tokens planned, oldest first

    def add(self, request: Request) -> None:
        """Enter a request that has arrived."""
        self.waiting.add(request)

    def may_change_next_step(self) -> bool:
        """Whether a request that arrives now could be part of the next step."""
        return len(self.running) < self._settings.max_num_seqs and (self._by_priority or not len(self.waiting))

    def only_decodes(self) -> bool:
        """Whether every further step, until a request finishes or arrives, is decoding alone."""
        return (
            self._num_prefilling == 0
            and self._blocked is not Blocked.MAYBE
            and self.decodes.size <= self._settings.max_num_batched_tokens
        )

    def run_decodes(self, num_steps: int) -> None:
        """Plan `num_steps` steps of decoding alone, none past the next end. Memory must allow them."""
        self.step += num_steps
        self._skipped.clear()
        if self.decodes.size:
            num_blocks = self.decodes.block_demand(num_steps)
            if num_blocks:
                self.kv_cache.allocate(num_blocks)
            self._advance_decodes(num_steps)

    def schedule(self) -> Batch:
        """Plan the next step: running requests first, then waiting ones."""
        self.step += 1
        batch = Batch()
        budget = self._walk_running(batch) if self._order_matters() else self._plan_running(batch)
        if batch.num_preempted:
            self._blocked = Blocked.MAYBE
        elif len(self.waiting):
            self._blocked = self._admit_waiting(batch, budget)
        else:
            self._blocked = Blocked.NO
        for request in batch.completed:
            self._begin_decoding(request)
        return batch

    def finish(self, request: Request) -> None:
        """Take out a request whose last token is computed."""
        if request in self.running:
            del self.running[request]
            num_computed = request.num_prompt_tokens + request.num_output_tokens - 1
            self.kv_cache.register(request, num_computed // self._block_size)
            self.kv_cache.release(request, -(-num_computed // self._block_size), keep_private=False)
        else:  # preempted while its last token was under way: its memory is free already
            self.waiting.remove(request)
        request.state = State.FINISHED

    def _plan_decodes(self, batch: Batch) -> None:
        """One step of all decoding requests; their blocks are allocated."""
        batch.num_decodes = self.decodes.size
        batch.num_context_tokens = self.decodes.num_context_tokens
        batch.decode_set = self.decodes.version
        self._advance_decodes(1)

    def _advance_decodes(self, num_steps: int) -> None:
        for request in self.decodes.advance(num_steps):
            self.last_tokens.append((self.step, request))

    # -- running requests ---------------------------------------------------------------------------------------------

    def _order_matters(self) -> bool:
        """Whether memory or the token budget may not do for all running requests."""
        decodes = self.decodes
        if decodes.size > self._settings.max_num_batched_tokens or decodes.block_demand(1) > self.kv_cache.num_free:
            return True
        if self._num_prefilling == 0:
            return False
        if self._num_prefilling > 1:
            return True
        last = next(reversed(self.running))
        return last.state is not State.PREFILL or self._chunk_demand(last) > self.kv_cache.num_free

    def _chunk_demand(self, request: Request) -> int:
        """Blocks that the decoding requests and the next chunk of one prefill need together."""
        budget = self._settings.max_num_batched_tokens - self.decodes.size
        num_new = self._chunk(request.num_known - request.num_computed, budget)
        num_blocks = self._num_blocks(request.num_computed + num_new) - self._num_blocks(request.num_computed)
        return self.decodes.block_demand(1) + num_blocks

    def _plan_running(self, batch: Batch) -> int:
        """All decoding requests, then the prefilling one, which is the last admitted. Returns the budget left."""
        decodes = self.decodes
        budget = self._settings.max_num_batched_tokens - decodes.size
        self._skipped.clear()
        if decodes.size:
            num_blocks = decodes.block_demand(1)
            if num_blocks:
                self.kv_cache.allocate(num_blocks)
            self._plan_decodes(batch)
        if self._num_prefilling and budget:
            request = next(reversed(self.running))
            num_new = self._chunk(request.num_known - request.num_computed, budget)
            self._plan_chunk(request, batch, num_new)
            budget -= num_new
        return budget

    def _chunk(self, num_tokens: int, budget: int) -> int:
        threshold = self._settings.long_prefill_token_threshold
        return min(num_tokens, budget, threshold) if threshold else min(num_tokens, budget)

    def _num_blocks(self, num_tokens: int) -> int:
        return -(-num_tokens // self._block_size)

    def _plan_chunk(self, request: Request, batch: Batch, num_new: int) -> None:
        """Plan the next `num_new` tokens of a running prefill; memory must allow them."""
        num_computed = request.num_computed
        self.kv_cache.allocate(self._num_blocks(num_computed + num_new) - self._num_blocks(num_computed))
        self._add_chunk(request, batch, num_new)

    def _add_chunk(self, request: Request, batch: Batch, num_new: int) -> None:
        batch.prefills.append((request, num_new, request.num_computed))
        request.num_computed += num_new
        self.kv_cache.register(request, request.num_computed // self._block_size)
        if request.num_computed == request.num_known:
            batch.completed.append(request)

    def _begin_decoding(self, request: Request) -> None:
        """The step just planned gives the request its next token."""
        self._num_prefilling -= 1
        num_left = request.num_prompt_tokens + request.num_output_tokens - request.num_known - 1
        if num_left:
            self.decodes.join(request, request.num_computed, num_left)
        else:
            request.state = State.LAST
            self.last_tokens.append((self.step, request))

    # -- running requests when memory or budget is short --------------------------------------------------------------

    def _walk_running(self, batch: Batch) -> int:
        """Go through the running requests one by one, as vLLM does; preempt where memory is short.

        Returns the token budget left.
        """
        budget = self._settings.max_num_batched_tokens
        order = list(self.running)
        planned: dict[Request, int] = {}
        index = 0
        while index < len(order) and budget:
            request = order[index]
            num_new = self._num_new_tokens(request, budget)
            if num_new:
                while self._blocks_for(request, num_new) > self.kv_cache.num_free:
                    victim = self._victim(order)
                    order.remove(victim)
                    if victim in planned:
                        # vLLM steps back only for a victim that was planned already; one that was passed over without
                        # being planned makes it skip the next request. Copied (0.24.0, Scheduler.schedule).
                        budget += planned[victim]
                        index -= 1
                    self._preempt(victim, planned.pop(victim, 0), batch)
                    if victim is request:
                        self._settle(planned, batch)
                        return budget
                planned[request] = num_new
                budget -= num_new
                if request.state is State.PREFILL:
                    self._plan_chunk(request, batch, num_new)
                else:
                    self.kv_cache.allocate(self._blocks_for(request, num_new))
            index += 1
        self._settle(planned, batch)
        return budget

    def _num_new_tokens(self, request: Request, budget: int) -> int:
        if request.state is State.DECODE:
            return 1
        if request.state is State.PREFILL:
            return self._chunk(request.num_known - request.num_computed, budget)
        return 0  # its last token is under way

    def _blocks_for(self, request: Request, num_new: int) -> int:
        if request.state is State.DECODE:
            return 1 if self.decodes.needs_block(request) else 0
        return self._num_blocks(request.num_computed + num_new) - self._num_blocks(request.num_computed)

    def _victim(self, order: list[Request]) -> Request:
        if self._by_priority:
            return max(order, key=lambda request: (request.priority, request.arrived_at))
        return order[-1]

    def _preempt(self, request: Request, num_planned: int, batch: Batch) -> None:
        """Free all a request holds and let it wait; what this step had planned for it is taken back."""
        del self.running[request]
        batch.num_preempted += 1
        if request.state is State.PREFILL:
            self._num_prefilling -= 1
            if num_planned:
                batch.prefills = [chunk for chunk in batch.prefills if chunk[0] is not request]
                batch.completed = [other for other in batch.completed if other is not request]
            num_computed = request.num_computed
        else:
            num_computed = self._leave_decoding(request, num_planned)
        self.kv_cache.release(request, self._num_blocks(num_computed), keep_private=True)
        request.num_computed = 0
        request.num_preemptions += 1
        if request.state is not State.LAST:
            request.state = State.WAITING
        self.waiting.put_back(request)

    def _leave_decoding(self, request: Request, num_planned: int) -> int:
        """Take a request out of the decoding set; returns its tokens with KV memory.

        Its content is in the cache's index as far as the ids of the tokens were known: with asynchronous scheduling the
        newest token is still being computed, unless the step before left the request out.
        """
        if request.state is State.LAST:
            num_computed = request.num_prompt_tokens + request.num_output_tokens - 1
        else:
            num_computed = self.decodes.num_computed(request)
            request.num_known = (
                request.num_prompt_tokens + request.num_output_tokens - self.decodes.num_left(request)
            )
            self.decodes.leave(request)
        under_way = 1 if self._settings.async_scheduling and request not in self._skipped else 0
        num_computed += num_planned
        self.kv_cache.register(request, (num_computed - under_way) // self._block_size)
        return num_computed

    def _settle(self, planned: dict[Request, int], batch: Batch) -> None:
        """Advance the decoding requests that were planned; the others keep their place."""
        decodes = self.decodes
        members = [request for request in self.running if request.state is State.DECODE]
        left_out = [(request, decodes.num_computed(request), decodes.num_left(request))
                    for request in members if request not in planned]
        for request, _, _ in left_out:
            decodes.leave(request)
        if decodes.size:
            self._plan_decodes(batch)
        for request, num_computed, num_left in left_out:
            decodes.join(request, num_computed, num_left)
        self._skipped = {request for request, _, _ in left_out}

    # -- waiting requests ---------------------------------------------------------------------------------------------

    def _admit_waiting(self, batch: Batch, budget: int) -> Blocked:
        """Start waiting requests, in order, until one cannot start; returns why."""
        while len(self.waiting):
            if len(self.running) >= self._settings.max_num_seqs:
                return Blocked.UNTIL_FINISH
            if not budget:
                return Blocked.MAYBE
            request = self.waiting.peek()
            hits, num_hit_blocks, num_evictable = self.kv_cache.lookup(request)
            num_cached = num_hit_blocks * self._block_size
            num_new = self._chunk(request.num_known - num_cached, self._settings.max_num_batched_tokens)
            if num_new > budget:
                if not self._settings.enable_chunked_prefill:
                    return Blocked.MAYBE
                num_new = budget
            num_blocks = self._num_blocks(num_cached + num_new) - num_hit_blocks
            if not self._fits(request, num_blocks, num_hit_blocks, num_evictable):
                return Blocked.UNTIL_FINISH
            self.waiting.pop()
            self.kv_cache.take(request, hits, num_blocks)
            self._start(request, num_cached)
            self._add_chunk(request, batch, num_new)
            budget -= num_new
        return Blocked.NO

    def _fits(self, request: Request, num_blocks: int, num_hit_blocks: int, num_evictable: int) -> bool:
        if self._settings.scheduler_reserve_full_isl:
            num_blocks = self._num_blocks(request.num_known) - num_hit_blocks
        if self.running:
            num_blocks += self._watermark_blocks
        return num_blocks + num_evictable <= self.kv_cache.num_free

    def _start(self, request: Request, num_cached: int) -> None:
        self._num_admissions += 1
        self._num_prefilling += 1
        self.running[request] = None
        request.admission = self._num_admissions
        request.state = State.PREFILL
        request.num_computed = num_cached
        if request.num_cached_tokens < 0:
            request.num_cached_tokens = num_cached
