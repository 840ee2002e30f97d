"""A simulated engine that plans one step at a time, for the older engines whose schedulers are a few lines each.

The scheduler of such an engine (a `Batcher`) says what the next step runs and keeps the books of calls and memory; this
module gives steps their times, logs them, and talks to the cluster. At the end of a step the finished calls leave, what
arrived during the step joins the queue, and the next step is planned: an arrival at the very instant of a boundary
misses it, unless the engine was idle. That is also when the client hears of its answer, so a call that is sent in reply
to one that has just finished misses a step of a busy engine.

Where only the same calls go on decoding, the engine sets its alarm to the first boundary that matters; an arrival that
could join pulls it forward. `skip=False` visits every boundary and gives the same records. Leaves out host time between
steps that depends on the queue: the profiles have it as a constant per step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sim.alarm import Alarm
from sim.clock import Clock
from sim.frontend import NO_DELAYS, EngineDelays, EngineListener, FirstTokenHook, Frontend
from sim.records import StepLog
from sim.request import Request
from sim.step_cost import StepCost
from sim.timeline import MIXED, Stretch


class Resident:
    """A request that is in the engine's memory, and how far it is.

    Parameters
    ----------
    request : Request
    num_prompt_tokens : int
        Tokens to prefill: the prompt, and after a preemption the outputs made so far.
    """

    __slots__ = ("num_blocks", "num_computed", "num_left", "num_prompt_tokens", "request")

    def __init__(self, request: Request, num_prompt_tokens: int, num_left: int) -> None:
        self.request = request
        self.num_prompt_tokens = num_prompt_tokens
        self.num_left = num_left  # output tokens still to come
        self.num_computed = 0  # tokens with keys and values in the cache
        self.num_blocks = 0

    def decode(self, num_steps: int) -> None:
        """Make `num_steps` tokens, one a step."""
        self.num_computed += num_steps
        self.num_left -= num_steps


@dataclass(slots=True)
class StepPlan:
    """What a step runs, or up to `max_steps` equal ones.

    Parameters
    ----------
    prefills : list of (Request, int, int)
        Prompts with their tokens computed now and computed before.
    decodes : list of Resident
    num_context_tokens : int
        Tokens that the decoding calls read in the first step.
    max_steps : int
        Steps until a call ends or memory has to be looked at again; 1 with prefills.
    first_tokens : list of Request
        Requests whose first token comes out of the first of these steps.
    num_preempted : int
    """

    prefills: list[tuple[Request, int, int]] = field(default_factory=list)
    decodes: list[Resident] = field(default_factory=list)
    num_context_tokens: int = 0
    max_steps: int = 1
    first_tokens: list[Request] = field(default_factory=list)
    num_preempted: int = 0

    def continues(self, previous: StepPlan | None) -> bool:
        """Whether the same calls decode as in the previous step, and nothing else happens."""
        return (
            previous is not None
            and not self.prefills
            and not previous.prefills
            and not self.num_preempted
            and self.decodes == previous.decodes
        )


class Batcher(Protocol):
    """Scheduler of an older engine: what runs in the next step. Knows tokens and blocks, not time."""

    @property
    def num_resident(self) -> int:
        """Calls in the engine's memory."""

    @property
    def num_free_blocks(self) -> int: ...

    def check(self, request: Request) -> None:
        """Refuse a request that can never run; ValueError."""

    def add(self, request: Request) -> None:
        """Put a request into the queue."""

    def may_join(self) -> bool:
        """Whether a request that arrives now could run in the next step."""

    def next_step(self) -> StepPlan | None:
        """Plan the next step; None when there is nothing to do."""

    def complete(self, plan: StepPlan, num_steps: int) -> list[Request]:
        """Take the output of the first, or the next, `num_steps` steps of a plan; returns the finished requests."""


class SteppedEngine:
    """One engine that runs what its batcher plans.

    Parameters
    ----------
    engine_id : int
    batcher : Batcher
    step_cost : StepCost
    clock : Clock
    listener : EngineListener
    delays : EngineDelays
        `wake` is not used.
    skip : bool
        Jump over boundaries at which nothing can change.
    on_first_token : callable, optional
        Told (request, instant) as soon as it is settled when a first token will reach the client.
    """

    def __init__(
        self,
        engine_id: int,
        batcher: Batcher,
        step_cost: StepCost,
        clock: Clock,
        listener: EngineListener,
        *,
        delays: EngineDelays = NO_DELAYS,
        skip: bool = True,
        on_first_token: FirstTokenHook | None = None,
    ) -> None:
        self.engine_id = engine_id
        self.steps = StepLog(engine_id)
        self._batcher = batcher
        self._step_cost = step_cost
        self._frontend = Frontend(engine_id, clock, listener, delays, on_first_token)
        self._inbox = self._frontend.inbox
        self._skip = skip
        self._alarm: Alarm | None = None
        self._plan: StepPlan | None = None
        self._stretch: Stretch | None = None
        self._num_done = 0  # steps of the stretch whose output was taken
        self._num_due = 0  # steps of the stretch that will be over at the alarm
        self._num_steps = 0  # in earlier stretches

    def submit(self, request: Request, now: float) -> None:
        """Take a request from the client.

        Raises
        ------
        ValueError
            When it can never run; the message names the engine.
        """
        try:
            self._batcher.check(request)
        except ValueError as error:
            raise ValueError(f"{error} (engine {self.engine_id})") from None
        arrived_at = self._frontend.send(request, now)
        if self._plan is None:
            if self._alarm is None:
                self._set_alarm(arrived_at)
        elif self._skip and self._batcher.may_join():
            self._pull_alarm(arrived_at)

    # -- boundaries ---------------------------------------------------------------------------------------------------

    def _set_alarm(self, at: float) -> None:
        self._alarm = self._frontend.call_at(at, self._ring)

    def _pull_alarm(self, arrived_at: float) -> None:
        """Visit the first boundary after an arrival, if the alarm is set for a later one."""
        if self._stretch is None or self._alarm is None:
            return
        num_due = max(self._stretch.steps_ending_after(arrived_at), self._num_done + 1)
        if num_due < self._num_due:
            self._alarm.cancel()
            self._num_due = num_due
            self._set_alarm(self._stretch.end(num_due))

    def _ring(self, alarm: Alarm) -> None:
        at = alarm.at
        self._alarm = None
        finished = self._take_output()
        for request in self._frontend.take_arrived(at, self._plan is None):
            self._batcher.add(request)
        self._start_step(at)
        self._frontend.reply(finished, at)

    def _take_output(self) -> list[Request]:
        if self._plan is None:
            return []
        num_steps, self._num_done = self._num_due - self._num_done, self._num_due
        return self._batcher.complete(self._plan, num_steps)

    def _start_step(self, at: float) -> None:
        plan = self._batcher.next_step()
        if plan is None or not plan.continues(self._plan):
            self._close_stretch()
            if plan is not None:
                self._open_stretch(plan, at)
        self._plan = plan
        if plan is None:
            if self._inbox:
                self._set_alarm(self._inbox[0].arrived_at)
            return
        stretch = self._stretch
        assert stretch is not None  # opened with the plan
        self._note_starts(plan, at, stretch.end(self._num_done + 1))
        self._num_due = self._num_done + (plan.max_steps if self._skip else 1)
        self._set_alarm(stretch.end(self._num_due))
        if self._inbox and self._skip and self._batcher.may_join():
            self._pull_alarm(self._inbox[0].arrived_at)

    # -- records ------------------------------------------------------------------------------------------------------

    def _note_starts(self, plan: StepPlan, at: float, end: float) -> None:
        for request, _, num_cached in plan.prefills:
            if request.scheduled_at < 0.0:
                request.scheduled_at = at
                request.num_cached_tokens = num_cached
        for request in plan.first_tokens:
            self._frontend.note_first_token(request, end)

    def _open_stretch(self, plan: StepPlan, at: float) -> None:
        chunks = [(num_new, num_computed) for _, num_new, num_computed in plan.prefills]
        duration, growth = self._duration(plan, chunks)
        batcher = self._batcher
        details = (
            len(plan.decodes),
            plan.num_context_tokens,
            len(chunks),
            sum(num_new for num_new, _ in chunks),
            batcher.num_resident,
            batcher.num_free_blocks,
            plan.num_preempted,
        )
        self._stretch = Stretch(self._num_steps, at, duration, growth, MIXED, details)
        self._num_done = 0

    def _duration(self, plan: StepPlan, chunks: Sequence[tuple[int, int]]) -> tuple[float, float]:
        """Duration of the first step and its growth a step, in seconds."""
        if chunks:
            return self._step_cost.step(len(plan.decodes), plan.num_context_tokens, chunks), 0.0
        return self._step_cost.decode_run(len(plan.decodes), plan.num_context_tokens)

    def _close_stretch(self) -> None:
        if self._stretch is not None:
            self._stretch.extend(self._num_done)
            self.steps.append(self._stretch)
            self._num_steps += self._num_done
            self._stretch = None
