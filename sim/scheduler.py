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
from enum import Enum

from sim.decode_set import DecodeSet
from sim.kv_cache import KVCache
from sim.request import Request, State
from sim.settings import EngineSettings
from sim.step_cost import UNSHARED
from sim.waiting import ByPriority, FirstComeFirstServed, WaitingQueue


class Blocked(Enum):
    """Why the head of the waiting queue was not admitted."""

    NO = "nothing waits"
    UNTIL_FINISH = "sequence limit or memory: only a finish can help"
    MAYBE = "token budget or a preemption: the next step may help"


class Batch:
    """What one step runs.

    `num_context_tokens` is what the decoding requests attend to, `sharing` what several of them hold, and `decode_set`
    tells their set from others; `prefills` holds (request, new tokens, tokens computed before); `completed` those whose
    known tokens are all computed after this step, so that it gives their next one.
    """

    __slots__ = ("completed", "decode_set", "num_context_tokens", "num_decodes", "num_preempted", "prefills", "sharing")

    def __init__(self) -> None:
        self.num_decodes = 0
        self.num_context_tokens = 0
        self.sharing = UNSHARED
        self.decode_set = 0
        self.num_preempted = 0
        self.prefills: list[tuple[Request, int, int]] = []
        self.completed: list[Request] = []


class Scheduler:
    """Requests of one engine and the plan of its next step.

    Parameters
    ----------
    settings : EngineSettings
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._block_size = settings.block_size
        self._max_num_seqs = settings.max_num_seqs
        self._max_num_batched_tokens = settings.max_num_batched_tokens
        self._long_prefill_token_threshold = settings.long_prefill_token_threshold or settings.max_num_batched_tokens
        self._may_chunk = settings.enable_chunked_prefill
        self._is_async = settings.async_scheduling
        self._reserve_full_isl = settings.scheduler_reserve_full_isl
        self._watermark_blocks = int(settings.watermark * settings.num_blocks)
        self._by_priority = settings.scheduling_policy == "priority"
        self._num_admissions = 0
        self._num_prefilling = 0
        self._blocked = Blocked.NO
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
        return len(self.running) < self._max_num_seqs and (self._by_priority or not len(self.waiting))

    def only_decodes(self) -> bool:
        """Whether every further step, until a request finishes or arrives, is decoding alone."""
        return (
            self._num_prefilling == 0
            and self._blocked is not Blocked.MAYBE
            and self.decodes.size <= self._max_num_batched_tokens
        )

    def run_decodes(self, num_steps: int) -> None:
        """Plan `num_steps` steps of decoding alone, none past the next end. Memory must allow them."""
        self.step += num_steps
        if self.decodes.size:
            self._advance_decodes(num_steps)

    def schedule(self) -> Batch:
        """Plan the next step: running requests first, then waiting ones."""
        self.step += 1
        batch = Batch()
        num_decodes, num_prefilling = self.decodes.size, self._num_prefilling
        is_tight = num_decodes > self.kv_cache.num_free or num_decodes > self._max_num_batched_tokens
        if (is_tight or num_prefilling) and self._order_matters():
            budget = self._walk_running(batch)
        else:
            budget = self._plan_running(batch)
        if batch.num_preempted:
            self._blocked = Blocked.MAYBE
        else:
            self._blocked = self._admit_waiting(batch, budget)
        for request in batch.completed:
            self._begin_decoding(request)
        return batch

    def finish(self, request: Request) -> None:
        """Take out a request whose last token is computed."""
        request.state = State.FINISHED
        if request in self.running:
            del self.running[request]
            num_computed = request.num_tokens - 1
            self.kv_cache.register(request, num_computed // self._block_size)
            self.kv_cache.release(request, -(-num_computed // self._block_size), keep_private=False)
        else:  # preempted while its last token was under way: its memory is free already
            self.waiting.remove(request)

    def _plan_decodes(self, batch: Batch, *, holds_blocks: bool = False) -> None:
        """One step of all decoding requests; `holds_blocks` when the blocks it takes are allocated already."""
        decodes = self.decodes
        batch.num_decodes = decodes.size
        batch.num_context_tokens = decodes.num_context_tokens
        batch.sharing = decodes.sharing
        batch.decode_set = decodes.version
        self._advance_decodes(1, holds_blocks)

    def _advance_decodes(self, num_steps: int, holds_blocks: bool = False) -> None:
        num_blocks = self.decodes.advance(num_steps)
        if num_blocks and not holds_blocks:
            self.kv_cache.allocate(num_blocks)
        if self.decodes.ended:
            self.last_tokens.extend([(self.step, request) for request in self.decodes.ended])
            self.decodes.ended.clear()

    # -- running requests ---------------------------------------------------------------------------------------------

    def _order_matters(self) -> bool:
        """Whether memory or the token budget may not do for all running requests."""
        num_free = self.kv_cache.num_free
        if self.decodes.block_demand() > num_free or self.decodes.size > self._max_num_batched_tokens:
            return True
        if self._num_prefilling == 0:
            return False
        last = next(reversed(self.running))
        return self._num_prefilling > 1 or last.state is not State.PREFILL or self._chunk_demand(last) > num_free

    def _chunk_demand(self, request: Request) -> int:
        """Blocks that the decoding requests and the next chunk of one prefill need together."""
        budget = self._max_num_batched_tokens - self.decodes.size
        num_new = self._chunk(request.num_known - request.num_computed, budget)
        num_blocks = self._num_blocks(request.num_computed + num_new) - self._num_blocks(request.num_computed)
        return self.decodes.block_demand() + num_blocks

    def _plan_running(self, batch: Batch) -> int:
        """All decoding requests, then the prefilling one, which is the last admitted. Returns the budget left."""
        budget = self._max_num_batched_tokens - self.decodes.size
        if self.decodes.size:
            self._plan_decodes(batch)
        if self._num_prefilling and budget:
            request = next(reversed(self.running))
            num_new = self._chunk(request.num_known - request.num_computed, budget)
            self._plan_chunk(request, batch, num_new)
            budget -= num_new
        return budget

    def _chunk(self, num_tokens: int, budget: int) -> int:
        return min(num_tokens, budget, self._long_prefill_token_threshold)

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
        num_left = request.num_tokens - request.num_known - 1
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
        budget = self._max_num_batched_tokens
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
            return max(order, key=lambda request: (request.priority, request.arrived_at, request.sequence))
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

        Its content is in the cache's index as far as the ids of the tokens were known when they were planned: with
        asynchronous scheduling all but the last, unless the step before that plan left the request out.
        """
        if request.state is State.LAST:
            num_computed = request.num_tokens - 1
        else:
            num_computed = self.decodes.num_computed(request)
            request.num_known = request.num_tokens - self.decodes.num_left(request)
            self.decodes.leave(request)
        last_plan = self.step if num_planned else self.step - 1
        under_way = 1 if self._is_async and request.left_out_at < last_plan - 1 else 0
        num_computed += num_planned
        self.kv_cache.register(request, (num_computed - under_way) // self._block_size)
        return num_computed

    def _settle(self, planned: dict[Request, int], batch: Batch) -> None:
        """Advance the decoding requests that were planned; the others keep their place."""
        decodes = self.decodes
        members = [request for request in self.running if request.state is State.DECODE]
        left_out = [
            (request, decodes.num_computed(request), decodes.num_left(request))
            for request in members
            if request not in planned
        ]
        for request, _, _ in left_out:
            decodes.leave(request)
        if decodes.size:
            self._plan_decodes(batch, holds_blocks=True)
        for request, num_computed, num_left in left_out:
            decodes.join(request, num_computed, num_left)
            request.left_out_at = self.step

    # -- waiting requests ---------------------------------------------------------------------------------------------

    def _admit_waiting(self, batch: Batch, budget: int) -> Blocked:
        """Start waiting requests, in order, until one cannot start; returns why."""
        waiting, kv_cache, block_size = self.waiting, self.kv_cache, self._block_size
        while len(waiting):
            if len(self.running) >= self._max_num_seqs:
                return Blocked.UNTIL_FINISH
            if not budget:
                return Blocked.MAYBE
            request = waiting.peek()
            hits, num_hit_blocks, num_evictable = kv_cache.lookup(request)
            num_cached = num_hit_blocks * block_size
            num_new = min(request.num_known - num_cached, self._long_prefill_token_threshold)
            if num_new > budget:
                if not self._may_chunk:
                    return Blocked.MAYBE
                num_new = budget
            num_reserved = request.num_known if self._reserve_full_isl else num_cached + num_new
            num_required = -(-num_reserved // block_size) - num_hit_blocks + num_evictable
            if self.running:
                num_required += self._watermark_blocks
            if num_required > kv_cache.num_free:
                return Blocked.UNTIL_FINISH
            waiting.take()
            kv_cache.take(request, hits, -(-(num_cached + num_new) // block_size) - num_hit_blocks)
            self._start(request, num_cached)
            self._add_chunk(request, batch, num_new)
            budget -= num_new
        return Blocked.NO

    def _start(self, request: Request, num_cached: int) -> None:
        self._num_admissions += 1
        self._num_prefilling += 1
        self.running[request] = None
        request.admission = self._num_admissions
        request.state = State.PREFILL
        request.num_computed = num_cached
        if request.num_known == request.num_prompt_tokens:  # vLLM reports the last start before the first token
            request.num_cached_tokens = num_cached
