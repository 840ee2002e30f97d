"""The coordinator: progress of every application, the ready queue, and the only code that calls a policy.

It does no I/O and has no clock: a backend tells it what happened and when, and carries out the actions it returns.
Simulated and real engines are driven by this one state machine, so they cannot treat a policy differently.

A call is blocked until its dependencies are done, then ready; after its think time and, where the client runs the
graph, the network latency it is submitted; it stays in the ready queue until the policy routes it to an engine; then it
is unfinished there until the backend reports its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any, Literal

from policies.calls import ApplicationState, CallState, CallStatus, build_applications
from policies.decisions import DecisionLog
from policies.engines import EngineState, snapshot
from policies.interface import BackendError, EngineId, EngineView, Event, EventKind, Policy, PolicyError
from traces.wording import counted
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
        self.decisions = DecisionLog()
        self._policy = policy
        self._engines = list(engines)
        self._offered: Sequence[EngineState] = self._engines  # those that are not lost; policies see no others
        self._windowed = all(engine.window for engine in self._engines)
        self._pay_per_call = orchestration == "client"
        self._latency = network_latency
        self._staleness = view_staleness
        self._views: Sequence[EngineView] = self._engines
        self._viewed_at = -1.0
        self._views_are_outdated = False  # whether an engine's state has changed since the views were taken
        self._renewal_is_due = False
        self._ready: list[tuple[Any, int, CallState]] = []
        self._num_submitted = 0
        self._ranks = type(policy).rank is not Policy.rank  # the base rank is looked up here, without a call
        self._observes = type(policy).observe is not Policy.observe
        self._num_returned = 0
        self.num_finished = 0
        self.failures: dict[int, str] = {}  # why a call will never finish, by its index

    # -- events -------------------------------------------------------------------------------------------------------

    def application_arrived(self, application: ApplicationState, now: float) -> Actions:
        """An application arrived: its root calls are ready."""
        if self._observes:
            self._policy.observe(Event(EventKind.APPLICATION_ARRIVED, now, application.app_id, None, None))
        actions = Actions()
        for call in application.calls:
            if not call.num_blocking:
                self._make_ready(call, now, actions, pays_latency=True)
        self._dispatch_ready(now, actions)
        return actions

    def call_submitted(self, call: CallState, now: float) -> Actions:
        """The wait of a call that was returned in `waits` is over."""
        actions = Actions()
        self._submit(call, now)
        self._dispatch_ready(now, actions)
        return actions

    def first_token(self, call: CallState, now: float) -> Actions:
        """The client has seen a call's first token."""
        self._observe(EventKind.FIRST_TOKEN, call, now)
        actions = Actions()
        self._dispatch_ready(now, actions)
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
        self._engines[call.engine_id].remove(call)
        self._views_are_outdated = True
        call.application.call_done(call)
        if self._observes:
            self._observe(EventKind.CALL_FINISHED, call, now)
        actions = Actions()
        for dependant in call.dependants:
            dependant.num_blocking -= 1
            if not dependant.num_blocking:
                self._make_ready(dependant, now, actions, pays_latency=self._pay_per_call)
        if self._ready:
            self._dispatch_ready(now, actions)
        return actions

    def views_expired(self, now: float) -> Actions:
        """The instant of an earlier `renew_at` has come: what was held on old views is offered again."""
        self._renewal_is_due = False
        actions = Actions()
        self._dispatch_ready(now, actions)
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
        self._engines[call.engine_id].remove(call)
        self._views_are_outdated = True
        self._fail(call, now, reason)
        actions = Actions()
        self._dispatch_ready(now, actions)
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
        self._forget(lost)
        if self._observes:
            self._policy.observe(Event(EventKind.ENGINE_LOST, now, "", None, engine_id))
        stranded.sort(key=lambda call: (-call.dispatched_at, -call.index))
        for call in stranded:
            if call.index in failing:
                self._fail(call, now, failing[call.index])
            else:
                self._return(call, now)
        actions = Actions()
        if self._offered:
            self._dispatch_ready(now, actions)
        else:
            self.abandon("failed: no engine is left")
        return actions

    def abandon(self, reason: str) -> None:
        """The run is over: every call that has not ended fails for this reason, and no policy is asked again."""
        self._ready.clear()
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
                    self._observe(EventKind.CALL_FAILED, each, now)
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
            self._observe(EventKind.CALL_RETURNED, call, now)
        call.status = CallStatus.SUBMITTED
        call.engine_id = -1
        call.dispatched_at = -1.0
        self._num_returned += 1
        heappush(self._ready, (call.rank, -self._num_returned, call))

    def _forget(self, lost: EngineState) -> None:
        self._offered = [engine for engine in self._offered if engine is not lost]
        self._views = [view for view in self._views if view.engine_id != lost.engine_id]

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
        if self._observes:
            self._observe(EventKind.CALL_SUBMITTED, call, now)
        call.rank = self._policy.rank(call, now) if self._ranks else call.spec.priority
        try:
            heappush(self._ready, (call.rank, self._num_submitted, call))
        except TypeError as error:
            raise PolicyError(
                f"call {call.app_id}/{call.call_id}: rank returned {call.rank!r}, which does not compare with "
                f"the ranks of other calls: {error}"
            ) from error
        self._num_submitted += 1

    def _observe(self, kind: EventKind, call: CallState, now: float) -> None:
        engine_id = call.engine_id if call.engine_id >= 0 else None
        num_output_tokens = call.num_output_tokens if kind is EventKind.CALL_FINISHED else None
        self._policy.observe(Event(kind, now, call.app_id, call, engine_id, num_output_tokens))

    # -- decisions ----------------------------------------------------------------------------------------------------

    def _dispatch_ready(self, now: float, actions: Actions) -> None:
        """Offer every ready call to the policy, in rank order, until no engine is open or all are held."""
        policy, ready = self._policy, self._ready
        if policy.reranks and self._some_engine_is_open():
            self._rank_again(now)
        held: list[tuple[Any, int, CallState]] = []
        held_classes: set[Any] = set()
        while ready and self._some_engine_is_open():
            entry = heappop(ready)
            call = entry[2]
            if held_classes and policy.hold_class(call) in held_classes:
                held.append(entry)
                continue
            engine_id = policy.route(call, self._engine_views(now) if self._staleness else self._offered, now)
            engine = None if engine_id is None else self._chosen(call, engine_id)
            if engine is None:
                held.append(entry)
                self._hold(call, held_classes, now)
            else:
                self._dispatch(call, engine, now)
                actions.dispatches.append(call)
        if held:
            ready.extend(held)
            heapify(ready)
            if self._staleness and self._views_are_outdated and not self._renewal_is_due:
                self._renewal_is_due = True
                actions.renew_at = self._viewed_at + self._staleness

    def _hold(self, call: CallState, held_classes: set[Any], now: float) -> None:
        held_class = self._policy.hold_class(call)
        if held_class is not None:
            held_classes.add(held_class)
        if not call.was_held:
            call.was_held = True
            self.decisions.append(now, call, -1)

    def _some_engine_is_open(self) -> bool:
        return not self._windowed or any(engine.is_open for engine in self._offered)

    def _rank_again(self, now: float) -> None:
        self._ready[:] = [(self._policy.rank(call, now), number, call) for _, number, call in self._ready]
        heapify(self._ready)

    def _chosen(self, call: CallState, engine_id: EngineId) -> EngineState | None:
        """The engine that the policy named; None when an old view made it name a full one."""
        if not isinstance(engine_id, int) or not 0 <= engine_id < len(self._engines):
            raise PolicyError(
                f"call {call.app_id}/{call.call_id}: route returned {engine_id!r}, which must be HOLD or an engine id, "
                f"an int from 0 to {len(self._engines) - 1}"
            )
        engine = self._engines[engine_id]
        if engine.is_open:
            return engine
        if engine not in self._offered:
            raise PolicyError(f"call {call.app_id}/{call.call_id}: route returned engine {engine_id}, which is lost")
        if self._staleness:
            return None
        raise PolicyError(
            f"call {call.app_id}/{call.call_id}: route returned engine {engine_id}, whose window of "
            f"{counted(engine.window, 'call')} is full"
        )

    def _dispatch(self, call: CallState, engine: EngineState, now: float) -> None:
        call.engine_id = engine.engine_id
        call.dispatched_at = now
        call.status = CallStatus.DISPATCHED
        engine.add(call)
        self._views_are_outdated = True
        self.decisions.append(now, call, engine.engine_id)
        if self._observes:
            self._observe(EventKind.CALL_DISPATCHED, call, now)

    def _engine_views(self, now: float) -> Sequence[EngineView]:
        if self._staleness and (self._viewed_at < 0.0 or now >= self._viewed_at + self._staleness):
            self._views = [snapshot(engine, now) for engine in self._offered]
            self._viewed_at = now
            self._views_are_outdated = False
        return self._views
