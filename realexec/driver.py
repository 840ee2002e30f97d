"""The asyncio driver: real time and real engines turned into events of the coordinator, and its actions carried out.

It does for real engines what `sim.cluster` does for simulated ones. All state of calls is the coordinator's; here are
only timers, the tasks that wait for engines, and the notes from which records are made. Everything runs on one event
loop, so no two events are handled at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

from policies.calls import ApplicationState, CallState, CallStatus
from policies.coordinator import Actions, Coordinator
from policies.interface import PolicyError
from realexec.attempts import Attempt, Fault, FaultHandling, RunNotes
from realexec.interface import CallFailure, Completion, EngineBackend, EngineFailure
from realexec.requests import RequestMaker
from realexec.shutdown import stop_engine
from traces.wording import counted

#: Status of calls that a stop or a cancellation left unfinished.
INTERRUPTED = "interrupted"

#: Seconds that cancelled requests get to leave their engines.
_GRACE = 5.0

#: Longest time, seconds, between two looks at engines and time limits.
_WATCH_PERIOD = 1.0


class Driver:
    """Runs the calls of a coordinator on started engines, once.

    Parameters
    ----------
    coordinator : Coordinator
        Fresh.
    backends : sequence of EngineBackend
        Started; number `i` has id `i`.
    requests : RequestMaker
    handling : FaultHandling
    """

    def __init__(
        self,
        coordinator: Coordinator,
        backends: Sequence[EngineBackend],
        requests: RequestMaker,
        handling: FaultHandling = FaultHandling(),
    ) -> None:
        self.notes = RunNotes()
        self.started_at = 0.0
        self._coordinator = coordinator
        self._backends = list(backends)
        self._requests = requests
        self._handling = handling
        self._in_flight: list[set[Attempt]] = [set() for _ in backends]
        self._active_at = [0.0 for _ in backends]  # when the driver last saw an engine do something, or sent it work
        self._arrivals = iter(sorted(coordinator.applications, key=lambda app: app.arrived_at))
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost: set[int] = set()
        self._stops: set[asyncio.Task[str | None]] = set()  # of lost engines
        self._now = 0.0

    async def run(self) -> None:
        """Run until every call has finished or failed.

        A cancellation ends the run as `stop` does, and is passed on.

        Raises
        ------
        PolicyError
            When the policy breaks its contract, or holds calls while nothing is left to happen.
        """
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self.started_at = time.monotonic()
        watch = self._loop.create_task(self._watch())
        self._await_application()
        try:
            await self._over
        except asyncio.CancelledError:
            self.notes.faults.append(Fault(self._clock(), "run stopped", INTERRUPTED))
            raise
        finally:
            watch.cancel()
            self._end_run(INTERRUPTED)
            await self._drain()

    def stop(self, reason: str = INTERRUPTED) -> None:
        """End a run that is under way: `run` returns, and calls that have not ended get this status."""
        if not self._over.done():
            self.notes.faults.append(Fault(self._clock(), "run stopped", reason))
            self._end_run(reason)
            self._over.set_result(None)

    @property
    def num_in_flight(self) -> int:
        """Calls that are at engines."""
        return sum(map(len, self._in_flight))

    # -- time ---------------------------------------------------------------------------------------------------------

    def _clock(self) -> float:
        """Seconds from the start of the run; never less than any instant already used."""
        self._now = max(self._now, time.monotonic() - self.started_at)
        return self._now

    def _at(self, instant: float, callback: Callable[[float], Actions | None]) -> None:
        """Have an event happen at an instant of the run; it gets that instant or the later one it really is."""
        delay = max(0.0, instant - (time.monotonic() - self.started_at))

        def fire() -> None:
            self._timers.discard(handle)
            self._now = max(self._now, instant)
            self._happen(callback)

        handle = self._loop.call_later(delay, fire)
        self._timers.add(handle)

    def _happen(self, event: Callable[[float], Actions | None]) -> None:
        """Feed one event to the coordinator and carry out what it answers; an error ends the run."""
        if self._over.done():
            return
        try:
            actions = event(self._clock())
            if actions is not None:
                self._carry_out(actions)
            self._check_whether_over()
        except Exception as error:
            if not self._over.done():
                reason = str(error) if isinstance(error, PolicyError) else f"{type(error).__name__}: {error}"
                self.notes.faults.append(Fault(self._now, "run stopped", reason))
                self._over.set_exception(error)

    def _carry_out(self, actions: Actions) -> None:
        for call in actions.dispatches:
            self._dispatch(call)
        for call in actions.waits:
            self._at(call.submitted_at, partial(self._coordinator.call_submitted, call))
        if actions.renew_at is not None:
            self._at(actions.renew_at, self._coordinator.views_expired)

    def _check_whether_over(self) -> None:
        coordinator = self._coordinator
        if self._over.done():
            return
        if coordinator.is_done:
            self._over.set_result(None)
        elif not self._timers and not self.num_in_flight:
            held = next(call for call in coordinator.calls if call.status is CallStatus.SUBMITTED)
            num_left = len(coordinator.calls) - coordinator.num_ended
            coordinator.abandon("not run: held by the policy, or waiting for a call that was")
            raise PolicyError(
                f"{counted(num_left, 'call')} never ran: the policy holds {held.app_id}/{held.call_id} and nothing is "
                "left to happen"
            )

    # -- from the client ----------------------------------------------------------------------------------------------

    def _await_application(self) -> None:
        application = next(self._arrivals, None)
        if application is not None:
            self._at(application.arrived_at, partial(self._application_arrived, application))

    def _application_arrived(self, application: ApplicationState, now: float) -> Actions:
        self._await_application()
        return self._coordinator.application_arrived(application, now)

    # -- at the engines -----------------------------------------------------------------------------------------------

    def _dispatch(self, call: CallState) -> None:
        earlier = self.notes.attempts.get(call.index)
        attempt = Attempt(call, call.engine_id, earlier.number + 1 if earlier else 1, call.dispatched_at)
        self.notes.attempts[call.index] = attempt
        in_flight = self._in_flight[call.engine_id]
        if not in_flight:
            self._active_at[call.engine_id] = time.monotonic()
        in_flight.add(attempt)
        attempt.task = self._loop.create_task(self._run_attempt(attempt))
        self._tasks.add(attempt.task)
        attempt.task.add_done_callback(self._tasks.discard)

    async def _run_attempt(self, attempt: Attempt) -> None:
        """Wait for an engine's answer and report it, unless the attempt is no longer wanted."""
        try:
            completion = await self._generate(attempt)
        except EngineFailure as error:
            self._report(attempt, partial(self._engine_lost, attempt.engine_id, str(error)))
        except CallFailure as error:
            self._report(attempt, partial(self._call_failed, attempt, str(error)))
        except Exception as error:  # a fault of the backend itself: the run cannot be trusted any further
            self._report(attempt, partial(_raise, error))
        else:
            self._report(attempt, partial(self._finished, attempt, completion))

    async def _generate(self, attempt: Attempt) -> Completion:
        request = self._requests.make(attempt, self.started_at)
        limit = self._handling.call_time_limit
        try:
            async with asyncio.timeout(limit) as timer:
                return await self._backends[attempt.engine_id].generate(request, partial(self._first_token, attempt))
        except TimeoutError:
            if not timer.expired():
                raise
            raise CallFailure(f"time limit of {limit:g} s at engine {attempt.engine_id}") from None

    def _report(self, attempt: Attempt, event: Callable[[float], Actions | None]) -> None:
        if attempt in self._in_flight[attempt.engine_id]:
            self._happen(event)

    def _first_token(self, attempt: Attempt) -> None:
        if attempt.first_token_at is None and attempt in self._in_flight[attempt.engine_id]:
            attempt.first_token_at = self._clock()
            self._active_at[attempt.engine_id] = time.monotonic()
            if self._coordinator.wants_first_tokens:
                self._happen(partial(self._coordinator.first_token, attempt.call))

    def _finished(self, attempt: Attempt, completion: Completion, now: float) -> Actions:
        num_tokens = len(completion.output_token_ids)
        if num_tokens != attempt.call.num_output_tokens:
            return self._call_failed(
                attempt, f"engine returned {num_tokens} of {attempt.call.num_output_tokens} output tokens", now
            )
        self._leave(attempt)
        attempt.completion, attempt.finished_at = completion, now
        if attempt.first_token_at is None:  # the engine showed its answer all at once
            attempt.first_token_at = now
        self._requests.keep_output(attempt.call, completion.output_token_ids)
        self.notes.num_finished[attempt.engine_id] += 1
        return self._coordinator.call_finished(attempt.call, now)

    def _call_failed(self, attempt: Attempt, reason: str, now: float) -> Actions:
        call = attempt.call
        self._leave(attempt)
        self.notes.faults.append(
            Fault(now, "call failed", reason, engine=attempt.engine_id, app=call.app_id, call=call.call_id)
        )
        return self._coordinator.call_failed(call, now, f"failed: {reason}")

    def _leave(self, attempt: Attempt) -> None:
        self._in_flight[attempt.engine_id].discard(attempt)
        self._active_at[attempt.engine_id] = time.monotonic()

    # -- faults -------------------------------------------------------------------------------------------------------

    def _engine_lost(self, engine_id: int, reason: str, now: float) -> Actions:
        self._lost.add(engine_id)
        stranded, self._in_flight[engine_id] = self._in_flight[engine_id], set()
        why = f"failed: engine {engine_id} lost: {reason}"
        failing = {attempt.call.index: why for attempt in stranded if self._is_given_up(attempt)}
        self.notes.faults.append(
            Fault(now, "engine lost", reason, engine=engine_id, num_moved=len(stranded) - len(failing))
        )
        _cancel(stranded)
        self._stops.add(self._loop.create_task(stop_engine(self._backends[engine_id])))
        return self._coordinator.engine_lost(engine_id, now, failing)

    def _is_given_up(self, attempt: Attempt) -> bool:
        has_started = attempt.first_token_at is not None
        if has_started and self._handling.on_engine_failure == "fail":
            return True
        return attempt.number >= self._handling.max_attempts

    async def _watch(self) -> None:
        """Look, now and then, whether an engine is lost or hangs, or the run takes too long."""
        stall, limit = self._handling.stall_timeout, self._handling.run_time_limit
        period = min([_WATCH_PERIOD, *(each / 8 for each in (stall, limit) if each is not None)])
        while True:
            looked_at = time.monotonic()
            await asyncio.sleep(period)
            if time.monotonic() - looked_at > 2 * period:
                continue  # it was this process that stood still: let the engines' news come in first
            if limit is not None and self._clock() >= limit:
                self.stop(f"time limit of the run, {limit:g} s")
            for engine_id in set(range(len(self._backends))) - self._lost:
                if reason := self._trouble_of(engine_id):
                    self._happen(partial(self._engine_lost, engine_id, reason))

    def _trouble_of(self, engine_id: int) -> str | None:
        """Why an engine must be taken for lost, though no call of it has said so."""
        stall = self._handling.stall_timeout
        if stall is not None and self._in_flight[engine_id] and self._idle_for(engine_id) > stall:
            return f"no progress for {stall:g} s"
        return self._backends[engine_id].failure

    def _idle_for(self, engine_id: int) -> float:
        """Seconds since an engine was last seen to do something."""
        seen_at = self._backends[engine_id].progress.last_progress_at
        return time.monotonic() - max(self._active_at[engine_id], seen_at)

    # -- the end ------------------------------------------------------------------------------------------------------

    def _end_run(self, reason: str) -> None:
        """Drop timers, cancel what is in flight, and have every call that has not ended fail."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for attempts in self._in_flight:
            _cancel(attempts)
        self._coordinator.abandon(reason)

    async def _drain(self) -> None:
        """Give cancelled requests a moment to leave their engines; a hanging one is left to the engine's stop."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_GRACE)


def _cancel(attempts: set[Attempt]) -> None:
    for attempt in attempts:
        if attempt.task is not None:
            attempt.task.cancel()


def _raise(error: Exception, now: float) -> Actions:
    raise error
