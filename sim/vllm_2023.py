"""vLLM as of 2023 (its first scheduler), as FastChat's vLLM worker runs it.

A step either prefills whole prompts or decodes: as long as a waiting call can be admitted, its prefill comes first and
all decoding calls wait. Memory is paged, without a prefix cache; a prompt is never split. When blocks run short, the
call admitted last is preempted: its blocks are freed, it goes to the head of the queue and prefills prompt and output
again. Behaviour follows `vllm/core/scheduler.py` and its block manager as of 2023 (Apache-2.0; the copy that Parrot's
comparison used lies in microsoft/ParrotServe, 3rdparty/vllm).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sim.paged_limits import PagedLimits
from sim.request import Request
from sim.stepped import Resident, StepPlan

#: Share of the blocks that admission leaves free: `watermark` of vLLM's block manager in 2023.
WATERMARK = 0.01


@dataclass(frozen=True, slots=True)
class Vllm2023Settings(PagedLimits):
    """Limits, under vLLM's names; those of `PagedLimits`, and its own.

    Parameters
    ----------
    max_model_len : int
    max_total_tokens : int
        Most tokens of prompts and outputs, as far as they exist, of all running calls when one more is admitted; 0 = no
        limit. A longer call runs alone. Not in vLLM: the published comparison fits a vLLM whose decode batches are
        bounded like this.

    Raises
    ------
    ValueError
        When a limit is out of range.
    """

    max_model_len: int = 4096

    def __post_init__(self) -> None:
        PagedLimits.__post_init__(self)  # `super()` does not find its class in one that has slots
        if self.max_model_len < 1:
            raise ValueError(f"max_model_len={self.max_model_len} must be positive")


class Vllm2023Batcher:
    """Prefill first, then decode.

    Parameters
    ----------
    settings : Vllm2023Settings
    """

    def __init__(self, settings: Vllm2023Settings) -> None:
        self._settings = settings
        self._waiting: deque[Resident] = deque()
        self._running: list[Resident] = []
        self.num_free_blocks = settings.num_blocks

    @property
    def num_resident(self) -> int:
        return len(self._running)

    def check(self, request: Request) -> None:
        settings = self._settings
        num_tokens = request.num_prompt_tokens + request.num_output_tokens
        if num_tokens > settings.max_model_len:
            raise ValueError(f"{num_tokens} prompt and output tokens exceed max_model_len={settings.max_model_len}")
        settings.check(request, num_reserved_blocks=int(WATERMARK * settings.num_blocks))

    def add(self, request: Request) -> None:
        self._waiting.append(Resident(request, request.num_prompt_tokens, request.num_output_tokens))

    def may_join(self) -> bool:
        return not self._waiting and len(self._running) < self._settings.max_num_seqs

    def next_step(self) -> StepPlan | None:
        admitted = self._admit()
        if admitted:
            return StepPlan(
                prefills=[(each.request, each.num_prompt_tokens, 0) for each in admitted],
                first_tokens=[each.request for each in admitted],
            )
        num_preempted = self._make_room()
        if not self._running:
            return self.next_step() if num_preempted else None
        return StepPlan(
            decodes=list(self._running),
            num_context_tokens=sum(each.num_computed + 1 for each in self._running),
            max_steps=self._num_safe_steps(),
            num_preempted=num_preempted,
        )

    def complete(self, plan: StepPlan, num_steps: int) -> list[Request]:
        if plan.prefills:
            for each in self._running[-len(plan.prefills) :]:
                each.num_computed = each.num_prompt_tokens
                each.num_left -= 1
        else:
            for each in self._running:
                each.decode(num_steps)
                self._grow(each, each.num_computed)
        finished = [each for each in self._running if not each.num_left]
        for each in finished:
            self._free(each)
        self._running = [each for each in self._running if each.num_left]
        return [each.request for each in finished]

    # -- memory -------------------------------------------------------------------------------------------------------

    def _grow(self, resident: Resident, num_tokens: int) -> None:
        """Give a call the blocks for so many tokens."""
        num_new = self._settings.blocks_for(num_tokens) - resident.num_blocks
        resident.num_blocks += num_new
        self.num_free_blocks -= num_new

    def _free(self, resident: Resident) -> None:
        self.num_free_blocks += resident.num_blocks
        resident.num_blocks = 0

    def _admit(self) -> list[Resident]:
        """Waiting calls whose prefill fits into this step, in order."""
        admitted: list[Resident] = []
        num_batched = 0
        while self._waiting and self._has_room(self._waiting[0], num_batched):
            each = self._waiting.popleft()
            num_batched += each.num_prompt_tokens
            self._grow(each, each.num_prompt_tokens)
            self._running.append(each)
            admitted.append(each)
        return admitted

    def _has_room(self, resident: Resident, num_batched: int) -> bool:
        settings, num_new = self._settings, resident.num_prompt_tokens
        num_held = sum(max(each.num_computed, each.num_prompt_tokens) for each in self._running)
        num_left_over = self.num_free_blocks - self._settings.blocks_for(num_new)
        return (
            num_left_over >= int(WATERMARK * settings.num_blocks)
            # A preempted call may have outgrown the limit; vLLM would drop it, here it prefills on its own.
            and (not num_batched or num_batched + num_new <= settings.max_num_batched_tokens)
            and len(self._running) < settings.max_num_seqs
            and (not settings.max_total_tokens or not num_held or num_held + num_new <= settings.max_total_tokens)
        )

    def _make_room(self) -> int:
        """Give every running call the slot of its next token; preempt those admitted last where blocks run short."""
        num_preempted = index = 0
        while index < len(self._running):
            each = self._running[index]
            # vLLM asks for a free block whether or not this token needs one.
            while self.num_free_blocks < 1 and index < len(self._running):
                self._preempt(self._running.pop())
                num_preempted += 1
            if index < len(self._running):
                self._grow(each, each.num_computed + 1)
            index += 1
        return num_preempted

    def _preempt(self, resident: Resident) -> None:
        self._free(resident)
        resident.num_prompt_tokens = resident.num_computed + 1  # the last token was made but is not in the cache
        resident.num_computed = 0
        resident.request.num_preemptions += 1
        self._waiting.appendleft(resident)

    def _num_safe_steps(self) -> int:
        """Steps until a call ends, or one if memory might run short before or a preempted call fits again."""
        if self._waiting and self._has_room(self._waiting[0], 0):
            return 1
        num_steps = min(each.num_left for each in self._running)
        num_needed = sum(
            self._settings.blocks_for(each.num_computed + num_steps) - each.num_blocks for each in self._running
        )
        return num_steps if num_needed < self.num_free_blocks else 1
