"""A simulated vLLM engine: a scheduler, a step-cost model and a timeline, driven by boundaries between steps.

At the end of step k the engine core takes its output (finished requests free their memory), reads what has arrived, and
plans the step `k + depth`: the next one with synchronous scheduling (depth 1), the one after with asynchronous
scheduling (depth 2), where a step is planned while its predecessor runs. An arrival during a step is therefore seen at
its end and, under asynchronous scheduling, runs one step later still.

Where only decoding can happen until a known step, the boundaries in between change nothing. The engine then sets its
alarm to the first boundary that matters, and plans the skipped steps at once when it gets there; an arrival that could
join pulls the alarm forward to the boundary it falls before. `skip=False` visits every boundary and gives the same
records.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

from simpy.events import Event

from sim.clock import ENGINE_ORDER, Alarm, Clock
from sim.records import StepLog
from sim.request import Request
from sim.scheduler import Batch, Scheduler
from sim.settings import EngineSettings
from sim.step_cost import StepCost
from sim.timeline import MIXED, Stretch, Timeline


@dataclass(frozen=True, slots=True)
class EngineDelays:
    """Time between a client and its engine core, in seconds.

    Parameters
    ----------
    receive : float
        From handing a call to the engine's client to the core seeing it.
    reply : float
        From the end of a step to the client seeing its tokens.
    wake : float
        From an idle core's first planning to its second, for what arrives just after it woke.
    """

    receive: float = 0.0
    reply: float = 0.0
    wake: float = 0.0


class EngineListener(Protocol):
    """Who is told when a request is done."""

    def request_finished(self, request: Request, at: float) -> None:
        """The last token reached the client at the instant `at`."""


class Engine:
    """One engine of the simulated cluster.

    Parameters
    ----------
    engine_id : int
    settings : EngineSettings
    step_cost : StepCost
    clock : Clock
    listener : EngineListener
    delays : EngineDelays
    skip : bool
        Jump over boundaries at which nothing can change.
    """

    def __init__(
        self,
        engine_id: int,
        settings: EngineSettings,
        step_cost: StepCost,
        clock: Clock,
        listener: EngineListener,
        *,
        delays: EngineDelays = EngineDelays(),
        skip: bool = True,
    ) -> None:
        self.engine_id = engine_id
        self.settings = settings
        self.scheduler = Scheduler(settings)
        self.steps = StepLog(engine_id)
        self._step_cost = step_cost
        self._clock = clock
        self._listener = listener
        self._delays = delays
        self._skip = skip
        self._depth = 2 if settings.async_scheduling else 1
        self._timeline = Timeline()
        self._inbox: deque[Request] = deque()
        self._alarm: Alarm | None = None
        self._alarm_step = 0
        self._next_stretch: Stretch | None = None
        self._past = -1  # last step whose boundary was visited
        self._idle = True
        self._visiting = False
        self._num_requests = 0

    def submit(self, request: Request, now: float) -> None:
        """Take a request from the client.

        Raises
        ------
        ValueError
            When it can never fit; the message names the engine.
        """
        num_tokens = request.num_prompt_tokens + request.num_output_tokens
        if num_tokens > self.settings.max_model_len:
            raise ValueError(
                f"{num_tokens} prompt and output tokens exceed max_model_len={self.settings.max_model_len} "
                f"(engine {self.engine_id})"
            )
        request.arrived_at = now + self._delays.receive
        request.sequence = self._num_requests
        self._num_requests += 1
        self._inbox.append(request)
        if self._visiting:
            return  # the visit sets the alarm when it is done
        if self._idle:
            self._wake_at(request.arrived_at)
        elif self._skip and self.scheduler.may_change_next_step():
            self._pull_alarm(request.arrived_at)

    # -- boundaries ---------------------------------------------------------------------------------------------------

    def _wake_at(self, at: float) -> None:
        if self._alarm is None:
            self._alarm_step = self.scheduler.step + 1 - self._depth
            self._set_alarm(at)

    def _set_alarm(self, at: float) -> None:
        self._alarm = self._clock.call_at(at, self._ring, ENGINE_ORDER + self.engine_id)

    def _pull_alarm(self, arrived_at: float) -> None:
        """Visit the first boundary after an arrival, if the alarm is set for a later one."""
        step = self._boundary_after(arrived_at)
        if step < self._alarm_step:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_step = step
            self._set_alarm(self._end_of(step))

    def _ring(self, event: Event) -> None:
        self._visiting = True
        self._alarm = None
        at = self._clock.now
        step: int | None = self._alarm_step
        while step is not None:
            self._visit(step, at)
            step = self._next_visit()
            if step is not None and self._end_of(step) > at:
                self._alarm_step = step
                self._set_alarm(self._end_of(step))
                break
        self._visiting = False

    def _visit(self, step: int, at: float) -> None:
        """Take the output of steps up to `step`, read arrivals, plan step `step + depth`."""
        scheduler = self.scheduler
        self._plan_skipped(step + self._depth - 1)
        self._past = step
        self.steps.extend(self._timeline.drop_before(step + 1))
        finished = self._collect_finished(step)
        self._read_inbox(at)
        if scheduler.running or len(scheduler.waiting):
            if self._idle:
                self._start_pipeline(at)
            self._plan(at)
        else:
            self._stop_pipeline()
        reply_at = at + self._delays.reply
        for request in finished:
            self._listener.request_finished(request, reply_at)

    def _collect_finished(self, step: int) -> list[Request]:
        last_tokens = self.scheduler.last_tokens
        finished: list[Request] = []
        while last_tokens and last_tokens[0][0] <= step:
            finished.append(last_tokens.popleft()[1])
        if len(finished) > 1:
            finished.sort(key=lambda request: request.admission)
        for request in finished:
            self.scheduler.finish(request)
        return finished

    def _read_inbox(self, at: float) -> None:
        """Hand over what arrived before this boundary; a core that was idle also takes what arrives as it wakes."""
        inbox = self._inbox
        while inbox and (inbox[0].arrived_at < at or (self._idle and inbox[0].arrived_at <= at)):
            self.scheduler.add(inbox.popleft())

    def _start_pipeline(self, at: float) -> None:
        """Begin at an idle engine: with asynchronous scheduling the second step is planned `wake` after the first."""
        self._idle = False
        self._timeline.end = at
        if self._depth == 2:
            planning = Stretch(self.scheduler.step, at, self._delays.wake, 0.0, MIXED)
            self._timeline.append(planning)
            planning.count = 1

    def _stop_pipeline(self) -> None:
        self._idle = True
        self.steps.extend(self._timeline.clear())

    def _next_visit(self) -> int | None:
        """The next boundary that matters; None when there is nothing to do until something arrives."""
        if self._idle:
            if self._inbox:
                self._wake_at(self._inbox[0].arrived_at)
            return None
        if self._skip and self.scheduler.only_decodes():
            return self._next_decision()
        return self._past + 1

    def _next_decision(self) -> int:
        """First boundary at which a request finishes, memory may run short, or an arrival may join."""
        scheduler = self.scheduler
        if scheduler.last_tokens:
            step = scheduler.last_tokens[0][0]
        else:
            step = scheduler.step + scheduler.decodes.steps_to_next_end()
        num_steps = step + self._depth - 1 - scheduler.step
        if num_steps > 0:
            num_safe = scheduler.decodes.steps_within(scheduler.kv_cache.num_free, num_steps)
            if num_safe < num_steps:
                step = min(step, scheduler.step + num_safe + 1 - self._depth)
        if self._inbox and scheduler.may_change_next_step():
            step = min(step, self._boundary_after(self._inbox[0].arrived_at))
        return step

    def _end_of(self, step: int) -> float:
        """End of a step, planned or, where only decoding lies between, yet to be planned."""
        if step <= self.scheduler.step:
            return self._timeline.end_of(step)
        stretch = self._upcoming()
        return stretch.end(step - stretch.first_step + 1)

    def _boundary_after(self, instant: float) -> int:
        """First boundary that lies after an instant."""
        for step in range(self._past + 1, self.scheduler.step + 1):
            if self._timeline.end_of(step) > instant:
                return step
        stretch = self._upcoming()
        return max(stretch.first_step + stretch.steps_ending_after(instant) - 1, self.scheduler.step + 1)

    # -- planning -----------------------------------------------------------------------------------------------------

    def _plan(self, at: float) -> None:
        """Plan one step explicitly."""
        batch = self.scheduler.schedule()
        if batch.prefills or not batch.num_decodes:
            end = self._plan_mixed(batch, max(self._timeline.end, at))
        else:
            end = self._plan_decode(batch)
        for request, _, _ in batch.prefills:
            if request.scheduled_at < 0.0:
                request.scheduled_at = at
        for request in batch.completed:
            if request.first_token_at < 0.0:
                request.first_token_at = end + self._delays.reply

    def _plan_mixed(self, batch: Batch, start: float) -> float:
        duration = 0.0
        num_prefill_tokens = 0
        if batch.prefills:
            chunks = [(num_new, num_computed) for _, num_new, num_computed in batch.prefills]
            num_prefill_tokens = sum(num_new for num_new, _ in chunks)
            duration = self._step_cost.step(batch.num_decodes, batch.num_context_tokens, chunks)
        stretch = Stretch(self.scheduler.step, start, duration, 0.0, MIXED)
        self._describe(stretch, batch, num_prefill_tokens)
        self._timeline.append(stretch)
        return self._timeline.extend(stretch, 1)

    def _plan_decode(self, batch: Batch) -> float:
        """A step of decoding alone: one more of the last stretch if the same requests decode in it."""
        stretch = self._timeline.last()
        if stretch is None or stretch.decode_set != batch.decode_set or batch.num_preempted:
            duration, growth = self._step_cost.decode_run(batch.num_decodes, batch.num_context_tokens)
            stretch = Stretch(self.scheduler.step, self._timeline.end, duration, growth, batch.decode_set)
            self._describe(stretch, batch, 0)
            self._timeline.append(stretch)
        return self._timeline.extend(stretch, 1)

    def _describe(self, stretch: Stretch, batch: Batch, num_prefill_tokens: int) -> None:
        stretch.details = (
            batch.num_decodes,
            batch.num_context_tokens,
            len(batch.prefills),
            num_prefill_tokens,
            len(self.scheduler.running),
            self.scheduler.kv_cache.num_free,
            batch.num_preempted,
        )

    def _upcoming(self) -> Stretch:
        """The stretch that the next steps belong to when they only decode; it may not be on the timeline yet."""
        scheduler, decodes = self.scheduler, self.scheduler.decodes
        stretch = self._timeline.last()
        if stretch is not None and stretch.decode_set == decodes.version:
            return stretch
        stretch = self._next_stretch
        if stretch is not None and stretch.decode_set == decodes.version and stretch.first_step == scheduler.step + 1:
            return stretch
        num_context_tokens = decodes.num_context_tokens
        duration, growth = self._step_cost.decode_run(decodes.size, num_context_tokens)
        self._next_stretch = stretch = Stretch(
            scheduler.step + 1, self._timeline.end, duration, growth, decodes.version
        )
        num_free = scheduler.kv_cache.num_free - decodes.block_demand(1)
        stretch.details = (decodes.size, num_context_tokens, 0, 0, len(scheduler.running), num_free, 0)
        return stretch

    def _plan_skipped(self, step: int) -> None:
        """Plan the steps up to `step`, in which nothing but decoding happens."""
        scheduler, timeline = self.scheduler, self._timeline
        while scheduler.step < step:
            num_steps = step - scheduler.step
            if scheduler.decodes.size:
                num_steps = min(num_steps, scheduler.decodes.steps_to_next_end())
                stretch = self._upcoming()
            else:
                stretch = Stretch(scheduler.step + 1, timeline.end, 0.0, 0.0, MIXED)
            if stretch is not timeline.last():
                timeline.append(stretch)
            scheduler.run_decodes(num_steps)
            timeline.extend(stretch, num_steps)
