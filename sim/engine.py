"""A simulated vLLM engine: a scheduler, a step-cost model and a timeline, driven by boundaries between steps.

At the end of step k the engine core takes its output (finished requests free their memory), reads what has arrived, and
plans the step `k + depth`: the next one with synchronous scheduling (depth 1), the one after with asynchronous
scheduling (depth 2), where a step is planned while its predecessor runs. An arrival during a step is therefore seen at
its end and, under asynchronous scheduling, runs one step later still.

Under asynchronous scheduling, when all running calls have ended, the step planned after them is empty: the pipeline has
run dry. The core then pauses and starts again as if it had been idle, also for what arrived during the last step, as no
running step hides the launch of the next one.

Where only decoding can happen until a known step, the boundaries in between change nothing. The engine then sets its
alarm to the first boundary that matters, and plans the skipped steps at once when it gets there; an arrival that could
join pulls the alarm forward to the boundary it falls before. `skip=False` visits every boundary and gives the same
records.
"""

from __future__ import annotations

from sim.alarm import Alarm
from sim.clock import Clock
from sim.frontend import NO_DELAYS, EngineDelays, EngineListener, FirstTokenHook, Frontend
from sim.records import StepLog
from sim.request import Request
from sim.scheduler import Batch, Scheduler
from sim.settings import EngineSettings
from sim.step_cost import StepCost
from sim.sustained import SustainedPrefill
from sim.timeline import MIXED, NOTHING, Stretch


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
    on_first_token : callable, optional
        Told (request, instant) as soon as it is settled when a first token will reach the client.
    """

    def __init__(
        self,
        engine_id: int,
        settings: EngineSettings,
        step_cost: StepCost,
        clock: Clock,
        listener: EngineListener,
        *,
        delays: EngineDelays = NO_DELAYS,
        skip: bool = True,
        on_first_token: FirstTokenHook | None = None,
    ) -> None:
        self.engine_id = engine_id
        self.settings = settings
        self.scheduler = Scheduler(settings)
        self.steps = StepLog(engine_id)
        self._step_cost = step_cost
        self._sustained = SustainedPrefill(step_cost.sustained_slowdown())
        self._frontend = Frontend(engine_id, clock, listener, delays, on_first_token)
        self._inbox = self._frontend.inbox
        self._wake_delay, self._start_delay, self._pause = delays.wake, delays.start, delays.pause
        self._skip = skip
        self._max_num_tokens = min(settings.max_model_len, settings.num_usable_blocks * settings.block_size + 1)
        self._depth = 2 if settings.async_scheduling else 1
        self._idle = True
        self._awake_at = 0.0  # an idle core reads nothing before
        self._visiting = False
        self._alarm: Alarm | None = None
        self._alarm_step = 0
        self._past = -1  # last boundary visited
        self._last = Stretch(0, 0.0, 0.0, 0.0, MIXED, NOTHING)  # the stretch planned last
        self._next: Stretch | None = None  # what comes next if only decoding does; not planned yet
        self._end = 0.0  # of the last planned step
        self._end_before = 0.0  # of the step before the last stretch, as the core notes it
        self._launched_at = 0.0  # the last step with prefills
        self._first_step = 0  # that gives the first tokens which are not settled

    def submit(self, request: Request, now: float) -> None:
        """Take a request from the client.

        Raises
        ------
        ValueError
            When it is longer than the engine's model or memory allows; the message names the engine.
        """
        if request.num_tokens > self._max_num_tokens:
            raise ValueError(
                f"{request.num_tokens} prompt and output tokens exceed the {self._max_num_tokens} that "
                f"max_model_len={self.settings.max_model_len} and num_blocks={self.settings.num_blocks} allow "
                f"(engine {self.engine_id})"
            )
        arrived_at = self._frontend.send(request, now)
        if self._visiting:
            return  # the visit sets the alarm when it is done
        if self._idle:
            self._wake_at(arrived_at)
        elif self._alarm_step > self._past + 1 and self.scheduler.may_change_next_step():
            step = self._boundary_after(arrived_at)
            if step < self._alarm_step:
                self._set_alarm(step, self._end_of(step))

    # -- boundaries ---------------------------------------------------------------------------------------------------

    def _wake_at(self, at: float) -> None:
        if self._alarm is None:
            self._set_alarm(self.scheduler.step + 1 - self._depth, max(at, self._awake_at))

    def _set_alarm(self, step: int, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_step = step
        self._alarm = self._frontend.call_at(at, self._ring)

    def _ring(self, alarm: Alarm) -> None:
        at = alarm.at
        self._alarm = None
        self._visiting = True
        step = self._alarm_step
        finished: list[Request] = []
        while True:
            self._visit(step, at, finished)
            if self._idle:
                if len(self.scheduler.waiting):
                    self._wake_at(at)
                elif self._inbox:
                    self._wake_at(self._inbox[0].arrived_at)
                break
            step = self._next_visit(at)
            end = self._end_of(step)
            if end > at:
                self._set_alarm(step, end)
                break
        self._visiting = False
        self._frontend.reply(finished, at)

    def _visit(self, step: int, at: float, finished: list[Request]) -> None:
        """Take the output of steps up to `step`, read arrivals, plan `step + depth` unless it can only decode.

        Requests whose last token is out are added to `finished`.
        """
        scheduler = self.scheduler
        if scheduler.step < step + self._depth - 1:
            self._plan_skipped(step + self._depth - 1)
        self._past = step
        last_tokens = scheduler.last_tokens
        if last_tokens and last_tokens[0][0] <= step:
            finished += self._collect_finished(step)
        if not scheduler.running and not self._idle and self._depth > 1:
            self._stop_pipeline(at + self._pause)
            return
        if self._inbox:
            for request in self._frontend.take_arrived(at, self._idle):
                scheduler.add(request)
        if not scheduler.running and not len(scheduler.waiting):
            self._stop_pipeline(at)
        elif self._idle:
            self._start_pipeline(at)
        elif len(scheduler.waiting) or not self._skip or not scheduler.only_decodes():
            self._plan(at)
        if self._frontend.first_tokens and step > self._first_step - self._depth:
            self._frontend.settle_first_tokens(self._end)  # the step after it only decodes

    def _collect_finished(self, step: int) -> list[Request]:
        """Requests whose last token is out, in the order in which the step ran them; their memory is free again."""
        last_tokens = self.scheduler.last_tokens
        finished = []
        while last_tokens and last_tokens[0][0] <= step:
            finished.append(last_tokens.popleft()[1])
        if len(finished) > 1:
            finished.sort(key=lambda request: request.admission)
        for request in finished:
            self.scheduler.finish(request)
        return finished

    def _start_pipeline(self, at: float) -> None:
        """Begin at an idle engine: with asynchronous scheduling the second step is planned when the first is launched.

        But no later than the first one's end: boundaries are in order, or skipping some would change the others.
        """
        self._idle = False
        self._end = at + self._start_delay
        self._plan(at)
        self._end_before = min(self._launched_at, self._end)  # a short first step ends before

    def _stop_pipeline(self, awake_at: float) -> None:
        self._idle = True
        self._awake_at = awake_at
        self.steps.append(self._last)
        self._last = Stretch(self.scheduler.step, 0.0, 0.0, 0.0, MIXED, NOTHING)

    def _next_visit(self, at: float) -> int:
        """The next boundary that matters."""
        if self._skip and not self._frontend.first_tokens and self.scheduler.only_decodes():
            step = self._next_decision()
            if step > self._past:
                return step
            self._plan(at)  # memory may be short in the very next step
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
        if self._inbox and step > self._past and scheduler.may_change_next_step():
            step = min(step, self._boundary_after(self._inbox[0].arrived_at))
        return step

    def _end_of(self, step: int) -> float:
        """End of a step that is not past: planned, or decoding alone and yet to be planned."""
        num_ahead = step - self.scheduler.step
        if num_ahead > 0:
            stretch = self._upcoming()
            return stretch.end(step - stretch.first_step + 1)
        if num_ahead == 0:
            return self._end
        last = self._last
        return last.end(last.count - 1) if last.count > 1 else self._end_before

    def _boundary_after(self, instant: float) -> int:
        """First boundary that lies after an instant."""
        step, num_planned = self._past + 1, self.scheduler.step
        while step <= num_planned:
            if self._end_of(step) > instant:
                return step
            step += 1
        if not self.scheduler.decodes.size:
            return step  # only last tokens are under way: the steps after them have no length yet
        stretch = self._upcoming()
        return stretch.first_step + stretch.steps_ending_after(instant) - 1

    # -- planning -----------------------------------------------------------------------------------------------------

    def _plan(self, at: float) -> None:
        """Plan one step explicitly."""
        batch = self.scheduler.schedule()
        if not batch.prefills:
            self._plan_decode(batch)
            return
        self._plan_mixed(batch, at)
        for request, _, _ in batch.prefills:
            if request.scheduled_at < 0.0:
                request.scheduled_at = at

    def _plan_mixed(self, batch: Batch, at: float) -> None:
        """A step with prefills, whose launch begins now and may hold up the core."""
        start = max(self._end, at)
        chunks = [(num_new, num_computed) for _, num_new, num_computed in batch.prefills]
        num_new_tokens = sum([num_new for num_new, _ in chunks])
        duration = self._step_cost.step(batch.num_decodes, batch.num_context_tokens, chunks, batch.sharing)
        num_tokens = batch.num_decodes + num_new_tokens
        duration = self._sustained.stretched(start, duration, num_tokens)
        launch = self._step_cost.launch(batch.num_decodes, num_tokens)
        launched_at = at + launch.seconds
        duration = max(duration, launched_at + launch.after - start)
        details = self._details(batch, num_new_tokens)
        self._begin(Stretch(self.scheduler.step, start, duration, 0.0, MIXED, details))
        self._launched_at = at + self._wake_delay
        if launch.holds_core:
            self._launched_at = launched_at
            self._end_before = max(self._end_before, launched_at)
        self._frontend.settle_first_tokens(self._end_before)
        self._end = self._last.extend(1)
        self._frontend.first_tokens, self._first_step = batch.completed, self.scheduler.step
        if self._depth == 1:
            self._frontend.settle_first_tokens(self._end)

    def _plan_decode(self, batch: Batch) -> None:
        """A step of decoding alone: one more of the last stretch, or the first of a new one; or an empty step."""
        self._frontend.settle_first_tokens(self._end)
        if self._last.decode_set != batch.decode_set or batch.num_preempted or not batch.num_decodes:
            duration, growth, decode_set = 0.0, 0.0, MIXED
            if batch.num_decodes:
                duration, growth = self._step_cost.decode_run(
                    batch.num_decodes, batch.num_context_tokens, batch.sharing
                )
                decode_set = batch.decode_set
            details = self._details(batch, 0)
            self._begin(Stretch(self.scheduler.step, self._end, duration, growth, decode_set, details))
        self._end = self._last.extend(1)

    def _details(self, batch: Batch, num_prefill_tokens: int) -> tuple[int, int, int, int, int, int, int]:
        return (
            batch.num_decodes,
            batch.num_context_tokens,
            len(batch.prefills),
            num_prefill_tokens,
            len(self.scheduler.running),
            self.scheduler.kv_cache.num_free,
            batch.num_preempted,
        )

    def _begin(self, stretch: Stretch) -> None:
        self.steps.append(self._last)
        self._last = stretch
        self._end_before = self._end

    def _upcoming(self) -> Stretch:
        """The stretch that the next steps belong to when they only decode; it may not be begun yet."""
        decodes = self.scheduler.decodes
        version = decodes.version
        if self._last.decode_set == version:
            return self._last
        first_step = self.scheduler.step + 1
        stretch = self._next
        if stretch is None or stretch.decode_set != version or stretch.first_step != first_step:
            duration, growth = self._step_cost.decode_run(decodes.size, decodes.num_context_tokens, decodes.sharing)
            self._next = stretch = Stretch(first_step, self._end, duration, growth, version, NOTHING)
        return stretch

    def _upcoming_details(self) -> tuple[int, int, int, int, int, int, int]:
        """Taken when the stretch begins: a finish after `_upcoming` was first asked changes what runs and is free."""
        scheduler, decodes = self.scheduler, self.scheduler.decodes
        num_free = scheduler.kv_cache.num_free - decodes.block_demand()
        return decodes.size, decodes.num_context_tokens, 0, 0, len(scheduler.running), num_free, 0

    def _plan_skipped(self, step: int) -> None:
        """Plan the steps up to `step`, in which nothing but decoding happens."""
        scheduler = self.scheduler
        while scheduler.step < step:
            num_steps = step - scheduler.step
            if scheduler.decodes.size:
                num_steps = min(num_steps, scheduler.decodes.steps_to_next_end())
                stretch = self._upcoming()
                if stretch is not self._last:
                    stretch.details = self._upcoming_details()
                    self._begin(stretch)
            else:
                self._begin(Stretch(scheduler.step + 1, self._end, 0.0, 0.0, MIXED, NOTHING))
            scheduler.run_decodes(num_steps)
            self._end = self._last.extend(num_steps)
