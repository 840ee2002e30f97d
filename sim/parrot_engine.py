"""Parrot's own engine: fill and generate calls share a step.

A step fills the prompts that are admitted and generates one token for every call that is filled; unlike in vLLM, a fill
brings no token, so a call of n output tokens takes a fill step and n generate steps. Calls are admitted in order of
arrival. A token capacity pauses, step by step, the calls that come last in priority, then in admission; they keep their
memory. With shared prompts, the first call of a prompt fills it in a step of its own, as a context that all calls of
that prompt then build on; Parrot's attention kernel reads it once for all of them, paged attention once for each.
Behaviour follows `parrot/engine/scheduler.py` and `builtin_runner.py` (microsoft/ParrotServe, MIT). Leaves out: one
fill for each piece of a prompt, which early versions made, and freeing a shared context. Memory for prompt and output
is taken when a call is admitted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sim.paged_limits import PagedLimits
from sim.request import Request
from sim.stepped import Resident, StepPlan
from traces.prefix import PrefixNode


@dataclass(frozen=True, slots=True)
class ParrotSettings(PagedLimits):
    """Limits of the engine; those of `PagedLimits`, and its own.

    Parameters
    ----------
    max_num_seqs : int
        Parrot's `max_batch_size` (early versions: `max_jobs`).
    max_num_batched_tokens : int
        Counts the generated tokens of a step too.
    max_total_tokens : int
        Most tokens that the generating calls of one step read.
    share_prompts : bool
        Fill the text that a call shares with others once.
    read_shared_once : bool
        Whether a step reads a shared prompt once, or once for each call.

    Raises
    ------
    ValueError
        When a limit is out of range.
    """

    share_prompts: bool = False
    read_shared_once: bool = False

    def __post_init__(self) -> None:
        PagedLimits.__post_init__(self)  # `super()` does not find its class in one that has slots
        if self.read_shared_once and not self.share_prompts:
            raise ValueError("read_shared_once=True needs share_prompts=True")


class ParrotBatcher:
    """Fills and generates in one step.

    Parameters
    ----------
    settings : ParrotSettings
    """

    def __init__(self, settings: ParrotSettings) -> None:
        self._settings = settings
        self._waiting: deque[Request] = deque()
        self._running: list[Resident] = []  # in order of priority, then admission
        self._contexts: set[PrefixNode] = set()  # shared prompts that are filled
        self._filling: PrefixNode | None = None
        self._fills: list[Resident] = []
        self.num_free_blocks = settings.num_blocks

    @property
    def num_resident(self) -> int:
        return len(self._running)

    def check(self, request: Request) -> None:
        settings = self._settings
        num_tokens = request.num_prompt_tokens + request.num_output_tokens
        settings.check(request)
        if 0 < settings.max_total_tokens < num_tokens:
            raise ValueError(
                f"{num_tokens} prompt and output tokens exceed max_total_tokens={settings.max_total_tokens}"
            )

    def add(self, request: Request) -> None:
        self._waiting.append(request)

    def may_join(self) -> bool:
        return not self._waiting and len(self._running) < self._settings.max_num_seqs

    def next_step(self) -> StepPlan | None:
        active, num_context_tokens = self._active()
        prefills = self._admit(len(active))
        if not prefills and not active:
            return None
        return StepPlan(
            prefills=prefills,
            decodes=active,
            num_context_tokens=num_context_tokens,
            max_steps=1 if prefills else self._num_equal_steps(active),
            first_tokens=[each.request for each in active if each.num_left == each.request.num_output_tokens],
        )

    def complete(self, plan: StepPlan, num_steps: int) -> list[Request]:
        for each in plan.decodes:
            each.decode(num_steps)
        finished = [each for each in plan.decodes if not each.num_left]
        if finished:
            self.num_free_blocks += sum(each.num_blocks for each in finished)
            self._running = [each for each in self._running if each.num_left]
        for each in self._fills:
            each.num_computed = each.request.num_prompt_tokens
        self._fills = []
        if self._filling is not None:
            self._contexts.add(self._filling)
            self._filling = None
        return [each.request for each in finished]

    # -- admission ----------------------------------------------------------------------------------------------------

    def _admit(self, num_batched: int) -> list[tuple[Request, int, int]]:
        """Fills of this step. A shared prompt that is not filled yet holds up everything behind it for a step."""
        prefills: list[tuple[Request, int, int]] = []
        while self._waiting and len(self._running) < self._settings.max_num_seqs:
            request = self._waiting[0]
            prompt = self._shared_prompt(request)
            if prompt is not None and prompt not in self._contexts:
                if self._take(self._settings.blocks_for(prompt.end), num_batched + prompt.end):
                    self._filling = prompt
                    prefills.append((request, prompt.end, 0))
                break
            num_shared = prompt.end if prompt is not None else 0
            num_new = request.num_prompt_tokens - num_shared
            num_blocks = self._settings.blocks_for(num_new + request.num_output_tokens)
            if not self._take(num_blocks, num_batched + num_new):
                break
            self._start(self._waiting.popleft(), num_blocks)
            prefills.append((request, num_new, num_shared))
            num_batched += num_new
        return prefills

    def _take(self, num_blocks: int, num_batched: int) -> bool:
        """Take blocks for one more fill, if they and the step have room."""
        if num_blocks > self.num_free_blocks or num_batched > self._settings.max_num_batched_tokens:
            return False
        self.num_free_blocks -= num_blocks
        return True

    def _start(self, request: Request, num_blocks: int) -> None:
        resident = Resident(request, request.num_prompt_tokens, request.num_output_tokens)
        resident.num_blocks = num_blocks
        self._fills.append(resident)
        self._running.append(resident)
        self._running.sort(key=lambda each: each.request.priority)  # stable: admission order among equals

    def _shared_prompt(self, request: Request) -> PrefixNode | None:
        """The longest text that this call shares with others and that leaves a token to fill."""
        if not self._settings.share_prompts:
            return None
        shorter = [node for node in request.path if node.end < request.num_prompt_tokens]
        return shorter[-1] if shorter else None

    # -- generation ---------------------------------------------------------------------------------------------------

    def _active(self) -> tuple[list[Resident], int]:
        """Calls that generate in this step and the tokens they read, within the token capacity."""
        capacity = self._settings.max_total_tokens
        active: list[Resident] = []
        read_once: set[PrefixNode] = set()
        num_tokens = num_read = 0
        for each in self._running:
            if not each.num_computed:
                continue
            num_tokens += each.num_computed + 1
            if capacity and num_tokens > capacity:
                break
            active.append(each)
            num_read += each.num_computed + 1 - self._already_read(each, read_once)
        return active, num_read

    def _already_read(self, resident: Resident, read_once: set[PrefixNode]) -> int:
        """Tokens of the call's shared prompt that the step reads for another call anyway."""
        if not self._settings.read_shared_once:
            return 0
        prompt = self._shared_prompt(resident.request)
        if prompt is None or prompt in read_once:
            return 0 if prompt is None else prompt.end
        read_once.add(prompt)
        return 0

    def _num_equal_steps(self, active: list[Resident]) -> int:
        """Steps until one of these calls ends, or the capacity pauses one of them."""
        num_steps = min(each.num_left for each in active)
        capacity = self._settings.max_total_tokens
        if capacity:
            num_tokens = sum(each.num_computed + 1 for each in active)
            num_steps = min(num_steps, (capacity - num_tokens) // len(active) + 1)
        return num_steps
