"""A simulated engine that runs vLLM's own scheduler, step by step, under virtual time.

The same boundaries as `sim.engine` with `skip=False`: at the end of a step the engine core takes its output, reads what
has arrived and plans the next step, or the one after that with asynchronous scheduling. Same step costs, same delays,
same records; slower by far.
"""

from __future__ import annotations

from collections import deque

from sim.alarm import Alarm
from sim.clock import Clock
from sim.frontend import NO_DELAYS, EngineDelays, EngineListener, FirstTokenHook, Frontend
from sim.records import StepLog
from sim.reference.content import TokenIds
from sim.reference.scheduler import Plan, ReferenceScheduler
from sim.request import Request
from sim.settings import EngineSettings
from sim.step_cost import StepCost
from sim.sustained import SustainedPrefill
from sim.timeline import MIXED, NOTHING, Stretch


class ReferenceEngine:
    """One engine of the simulated cluster, driven by vLLM.

    Parameters
    ----------
    engine_id : int
    settings : EngineSettings
    step_cost : StepCost
    clock : Clock
    listener : EngineListener
    delays : EngineDelays
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
        on_first_token: FirstTokenHook | None = None,
    ) -> None:
        self.engine_id = engine_id
        self.steps = StepLog(engine_id)
        self._scheduler = ReferenceScheduler(settings)
        self._token_ids = TokenIds()
        self._step_cost = step_cost
        self._sustained = SustainedPrefill(step_cost.sustained_slowdown())
        self._frontend = Frontend(engine_id, clock, listener, delays, on_first_token)
        self._inbox = self._frontend.inbox
        self._wake_delay, self._start_delay, self._pause = delays.wake, delays.start, delays.pause
        self._depth = 2 if settings.async_scheduling else 1
        self._idle = True
        self._awake_at = 0.0  # an idle core reads nothing before
        self._visiting = False
        self._has_alarm = False
        self._in_flight: deque[tuple[Plan, float]] = deque()  # planned steps and when the core notes their ends
        self._launched_at = 0.0  # the last step with prefills
        self._num_steps = 0
        self._last = Stretch(0, 0.0, 0.0, 0.0, MIXED, NOTHING)  # the stretch planned last
        self._decoding: list[Request] | None = None  # who decodes in it; None when no step may continue it
        self._end = 0.0  # of the last planned step

    def submit(self, request: Request, now: float) -> None:
        """Take a request from the client. It must fit the engine (`traces.fit.check_fit`)."""
        arrived_at = self._frontend.send(request, now)
        if self._idle and not self._visiting and not self._has_alarm:
            self._set_alarm(max(arrived_at, self._awake_at))

    # -- boundaries ---------------------------------------------------------------------------------------------------

    def _set_alarm(self, at: float) -> None:
        self._has_alarm = True
        self._frontend.call_at(at, self._ring)

    def _ring(self, alarm: Alarm) -> None:
        at = alarm.at
        self._has_alarm = False
        self._visiting = True
        finished: list[Request] = []
        next_at = self._visit(at, finished)
        while next_at is not None and next_at <= at:
            next_at = self._visit(at, finished)
        self._visiting = False
        if next_at is not None:
            self._set_alarm(next_at)
        elif self._scheduler.has_unfinished:
            self._set_alarm(self._awake_at)
        elif self._inbox:
            self._set_alarm(max(self._inbox[0].arrived_at, self._awake_at))
        self._frontend.reply(finished, at)

    def _visit(self, at: float, finished: list[Request]) -> float | None:
        """Take the output of the oldest step, read arrivals, plan a step; returns the next boundary, if any.

        Requests whose last token is out are added to `finished`.
        """
        if len(self._in_flight) == self._depth:
            finished += self._scheduler.complete(self._in_flight.popleft()[0])
        if not self._scheduler.running and not self._idle and self._depth > 1:
            self._stop_pipeline(at + self._pause)  # it has run dry: see `sim.engine`
            return None
        for request in self._frontend.take_arrived(at, self._idle):
            self._scheduler.add(request, self._token_ids.of(request))
        next_at = None
        if not self._scheduler.has_unfinished:
            self._stop_pipeline(at)
        elif self._idle:
            next_at = self._start_pipeline(at)
        else:
            self._plan(at)
            next_at = self._in_flight[0][1]
        return next_at

    def _start_pipeline(self, at: float) -> float:
        """Begin at an idle engine; returns when the second step is planned: under async scheduling after a launch."""
        self._idle = False
        self._end = at + self._start_delay
        self._plan(at)
        return min(self._launched_at, self._end) if self._depth > 1 else self._end

    def _stop_pipeline(self, awake_at: float) -> None:
        while self._in_flight:  # a step that runs nothing, planned before the last token was known
            self._scheduler.complete(self._in_flight.popleft()[0])
        self._idle = True
        self._awake_at = awake_at
        self._begin(Stretch(self._num_steps, 0.0, 0.0, 0.0, MIXED, NOTHING), None)

    # -- planning -----------------------------------------------------------------------------------------------------

    def _plan(self, at: float) -> None:
        plan = self._scheduler.schedule()
        if plan.prefills:
            self._begin_mixed(plan, at)
        elif not self._continues(plan):
            self._begin_decode(plan)
        self._num_steps += 1
        if self._in_flight:
            self._frontend.settle_first_tokens(self._in_flight[-1][1])
        self._end = self._last.extend(1)
        self._in_flight.append((plan, self._end))
        for request, _, _ in plan.prefills:
            if request.scheduled_at < 0.0:
                request.scheduled_at = at
        self._frontend.first_tokens = plan.completed
        if self._depth == 1:
            self._frontend.settle_first_tokens(self._end)

    def _continues(self, plan: Plan) -> bool:
        """Whether the same requests decode as in the step before, and nothing else happens."""
        if plan.preempted or plan.left_out or not plan.decodes:
            return False
        return self._decoding == [request for request, _, _ in plan.decodes]

    def _begin_mixed(self, plan: Plan, at: float) -> None:
        start = max(self._end, at)
        num_tokens = len(plan.decodes) + sum(num_new for _, num_new, _ in plan.prefills)
        chunks = [(num_new, num_computed) for _, num_new, num_computed in plan.prefills]
        duration = self._step_cost.step(len(plan.decodes), _num_context_tokens(plan), chunks, plan.sharing)
        duration = self._sustained.stretched(start, duration, num_tokens)
        launch = self._step_cost.launch(len(plan.decodes), num_tokens)
        launched_at = at + launch.seconds
        duration = max(duration, launched_at + launch.after - start)
        self._launched_at = at + self._wake_delay
        if launch.holds_core:
            self._launched_at = launched_at
            if self._in_flight:
                before, noted_at = self._in_flight.pop()
                self._in_flight.append((before, max(noted_at, launched_at)))
        self._begin(Stretch(self._num_steps, start, duration, 0.0, MIXED, self._details(plan)), None)

    def _begin_decode(self, plan: Plan) -> None:
        duration, growth = 0.0, 0.0
        if plan.decodes:
            duration, growth = self._step_cost.decode_run(len(plan.decodes), _num_context_tokens(plan), plan.sharing)
        decoding = [request for request, _, _ in plan.decodes] if plan.decodes else None
        self._begin(Stretch(self._num_steps, self._end, duration, growth, MIXED, self._details(plan)), decoding)

    def _begin(self, stretch: Stretch, decoding: list[Request] | None) -> None:
        self.steps.append(self._last)
        self._last, self._decoding = stretch, decoding

    def _details(self, plan: Plan) -> tuple[int, int, int, int, int, int, int]:
        return (
            len(plan.decodes),
            _num_context_tokens(plan),
            len(plan.prefills),
            sum(num_new for _, num_new, _ in plan.prefills),
            len(self._scheduler.running),
            self._scheduler.num_free,
            len(plan.preempted),
        )


def _num_context_tokens(plan: Plan) -> int:
    """Tokens that the decoding requests attend to, the new one among them."""
    return sum(num_computed + 1 for _, _, num_computed in plan.decodes)
