"""The coordinator: progress of every application, from the arrival of its root calls to its end.

It does no I/O and has no clock: a backend tells it what happened and when, and carries out the actions it returns.
Simulated and real engines are driven by this one state machine, so they cannot treat a policy differently.

A call is blocked until its dependencies are done, then ready; after its think time and, where the client runs the
graph, the network latency it is submitted; it stays in the ready queue (`policies.dispatcher`) until the policy routes
it to an engine; then it is unfinished there until the backend reports its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from policies.calls import ApplicationState, CallState, CallStatus, build_applications
from policies.dispatcher import Dispatcher
from policies.engines import EngineState
from policies.interface import BackendError, EngineId, Event, EventKind, Policy
from traces.workload import Workload

Orchestration = Literal["client", "service"]


class Actions:
    """What the backend must now do.

    Attributes
    ----------
    dispatches : list of CallState
        Calls to hand to the engine `call.engine_id` at once.
    waits : list of CallState
        Calls to report back by `call_submitted` at the instant `call.submitted_at`.
    renew_at : float, optional
        Instant at which to call `views_expired`, where calls are held on views that are out of date.
    """

    __slots__ = ("dispatches", "renew_at", "waits")

    def __init__(self) -> None:  # written out: what a dataclass generates is not compiled, and each event makes one
        self.dispatches: list[CallState] = []
        self.waits: list[CallState] = []
        self.renew_at: float | None = None


class Coordinator:
    """Drives the calls of a workload through a policy.

    Parameters
    ----------
    workload : Workload
        Valid (`traces.validation`).
    policy : Policy
    engines : sequence of EngineState
        Engine `i` has id `i`.
    orchestration : "client" or "service"
        Who runs the graph: a client pays the network latency before every call, a service once per application.
    network_latency : sequence of float, optional
        Seconds per call, in workload order; none when left out. Under "service" a root call's own value is used.
    view_staleness : float, seconds
        Age up to which policies see old engine views; 0 shows live state.
    """

    def __init__(
        self,
        workload: Workload,
        policy: Policy,
        engines: Sequence[EngineState],
        *,
        orchestration: Orchestration = "client",
        network_latency: Sequence[float] | None = None,
        view_staleness: float = 0.0,
    ) -> None:
        if not engines:
            raise ValueError("engines=[] must name at least one engine")
        if view_staleness < 0.0:
            raise ValueError(f"view_staleness={view_staleness} must not be negative")
        self.applications: list[ApplicationState] = build_applications(workload)
        self.calls: list[CallState] = [call for app in self.applications for call in app.calls]
        self._engines = list(engines)
        self._dispatcher = Dispatcher(policy, self._engines, view_staleness)
        self._observes = self._dispatcher.observes
        self.decisions = self._dispatcher.decisions
        self._pay_per_call = orchestration == "client"
        self._latency = network_latency
        self.num_finished = 0
        self.failures: dict[int, str] = {}  # why a call will never finish, by its index

    # -- events -------------------------------------------------------------------------------------------------------

    def application_arrived(self, application: ApplicationState, now: float) -> Actions:
        """An application arrived: its root calls are ready."""
        if self._observes:
            self._dispatcher.observe(Event(EventKind.APPLICATION_ARRIVED, now, application.app_id, None, None))
        actions = Actions()
        for call in application.calls:
            if not call.num_blocking:
                self._make_ready(call, now, actions, pays_latency=True)
        actions.renew_at = self._dispatcher.dispatch(now, actions.dispatches)
        return actions

    def call_submitted(self, call: CallState, now: float) -> Actions:
        """The wait of a call that was returned in `waits` is over."""
        actions = Actions()
        self._submit(call, now)
        actions.renew_at = self._dispatcher.dispatch(now, actions.dispatches)
        return actions

    def first_token(self, call: CallState, now: float) -> Actions:
        """The client has seen a call's first token."""
        self._dispatcher.observe_call(EventKind.FIRST_TOKEN, call, now)
        actions = Actions()
        actions.renew_at = self._dispatcher.dispatch(now, actions.dispatches)
        return actions

    def call_finished(self, call: CallState, now: float) -> Actions:
        """A call is done: its engine has room, and its dependants may be ready.

        Raises
        ------
        BackendError
            When the call is not at an engine.
        """
        if call.status is not CallStatus.DISPATCHED:
            raise BackendError(f"call {call.app_id}/{call.call_id}: finished while {call.status.value}")
        call.status = CallStatus.FINISHED
        self.num_finished += 1
        self._dispatcher.release(call)
        call.application.call_done(call)
        if self._observes:
            self._dispatcher.observe_call(EventKind.CALL_FINISHED, call, now)
        actions = Actions()
        for dependant in call.dependants:
            dependant.num_blocking -= 1
            if not dependant.num_blocking:
                self._make_ready(dependant, now, actions, pays_latency=self._pay_per_call)
        if self._dispatcher.ready:
            actions.renew_at = self._dispatcher.dispatch(now, actions.dispatches)
        return actions

    def views_expired(self, now: float) -> Actions:
        """The instant of an earlier `renew_at` has come: what was held on old views is offered again."""
        self._dispatcher.views_expired()
        actions = Actions()
        actions.renew_at = self._dispatcher.dispatch(now, actions.dispatches)
        return actions

    # -- faults -------------------------------------------------------------------------------------------------------

    def call_failed(self, call: CallState, now: float, reason: str) -> Actions:
        """A call will never finish; neither will what depends on it.

        Parameters
        ----------
        call : CallState
        now : float, seconds
        reason : str
            What its row says under `status`.

        Raises
        ------
        BackendError
            When the call is not at an engine.
        """
        if call.status is not CallStatus.DISPATCHED:
            raise BackendError(f"call {call.app_id}/{call.call_id}: failed while {call.status.value}")
        self._dispatcher.release(call)
        self._fail(call, now, reason)
        actions = Actions()
        actions.renew_at = self._dispatcher.dispatch(now, actions.dispatches)
        return actions

    def engine_lost(self, engine_id: EngineId, now: float, failing: Mapping[int, str]) -> Actions:
        """An engine is gone: policies are never offered it again, and its calls go back to the ready queue.

        Parameters
        ----------
        engine_id : int
        now : float, seconds
        failing : mapping of call index to str
            Calls at the engine that are not tried again, each with its reason.

        Notes
        -----
        Calls that go back come before others of their rank, in the order in which they were dispatched: they were
        submitted earlier. When no engine is left, every call that has not finished fails.
        """
        lost = self._engines[engine_id]
        stranded = [call for call in self.calls if self._is_at(call, engine_id)]
        for call in stranded:
            lost.remove(call)
        lost.is_open = False
        some_are_left = self._dispatcher.lose(lost)
        if self._observes:
            self._dispatcher.observe(Event(EventKind.ENGINE_LOST, now, "", None, engine_id))
        stranded.sort(key=lambda call: (-call.dispatched_at, -call.index))
        for call in stranded:
            if call.index in failing:
                self._fail(call, now, failing[call.index])
            else:
                self._return(call, now)
        actions = Actions()
        if some_are_left:
            actions.renew_at = self._dispatcher.dispatch(now, actions.dispatches)
        else:
            self.abandon("failed: no engine is left")
        return actions

    def abandon(self, reason: str) -> None:
        """The run is over: every call that has not ended fails for this reason, and no policy is asked again."""
        self._dispatcher.clear()
        for call in self.calls:
            if call.status is not CallStatus.FINISHED and call.status is not CallStatus.FAILED:
                self._end(call, reason)

    @property
    def num_ended(self) -> int:
        """Calls that have finished or failed."""
        return self.num_finished + len(self.failures)

    @property
    def is_done(self) -> bool:
        """Whether every call has finished or failed."""
        return self.num_ended == len(self.calls)

    def _fail(self, call: CallState, now: float, reason: str) -> None:
        """End a call and everything below it, each told apart in its reason and told to the policy."""
        failing = [(call, reason)]
        for each, why in failing:  # grows while it is walked
            if each.status is not CallStatus.FAILED:
                self._end(each, why)
                if self._observes:
                    self._dispatcher.observe_call(EventKind.CALL_FAILED, each, now)
                failing.extend((dependant, f"not run: call {call.call_id} failed") for dependant in each.dependants)

    def _end(self, call: CallState, reason: str) -> None:
        if call.status is CallStatus.BLOCKED:
            call.submitted_at = -1.0  # it was a plan, if anything
        call.status = CallStatus.FAILED
        call.num_blocking = -1  # never 0 again, so that no event makes it ready
        self.failures[call.index] = reason
        call.application.call_done(call)

    def _return(self, call: CallState, now: float) -> None:
        if self._observes:
            self._dispatcher.observe_call(EventKind.CALL_RETURNED, call, now)
        call.status = CallStatus.SUBMITTED
        call.engine_id = -1
        call.dispatched_at = -1.0
        self._dispatcher.put_back(call)

    @staticmethod
    def _is_at(call: CallState, engine_id: EngineId) -> bool:
        return call.status is CallStatus.DISPATCHED and call.engine_id == engine_id

    @property
    def wants_first_tokens(self) -> bool:
        """Whether the backend need report first tokens at all."""
        return self._observes

    # -- state --------------------------------------------------------------------------------------------------------

    def _make_ready(self, call: CallState, now: float, actions: Actions, *, pays_latency: bool) -> None:
        call.ready_at = now
        wait = call.delay
        if pays_latency and self._latency is not None:
            wait += self._latency[call.index]
        if wait > 0.0:
            call.submitted_at = now + wait
            actions.waits.append(call)
        else:
            self._submit(call, now)

    def _submit(self, call: CallState, now: float) -> None:
        call.submitted_at = now
        call.status = CallStatus.SUBMITTED
        self._dispatcher.submit(call, now)
