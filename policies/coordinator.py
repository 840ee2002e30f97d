"""The coordinator: progress of every application, the ready queue, and the only code that calls a policy.

It does no I/O and has no clock: a backend tells it what happened and when, and carries out the actions it returns.
Simulated and real engines are driven by this one state machine, so they cannot treat a policy differently.

A call is blocked until its dependencies are done, then ready; after its think time and, where the client runs the
graph, the network latency it is submitted; it stays in the ready queue until the policy routes it to an engine; then it
is unfinished there until the backend reports its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, Literal

from policies.calls import ApplicationState, CallState, CallStatus, build_applications
from policies.decisions import DecisionLog
from policies.engines import EngineState, snapshot
from policies.interface import BackendError, EngineId, EngineView, Event, EventKind, Policy, PolicyError
from traces.workload import Workload

Orchestration = Literal["client", "service"]


@dataclass(slots=True)
class Actions:
    """What the backend must now do.

    Parameters
    ----------
    dispatches : list of CallState
        Calls to hand to the engine `call.engine_id` at once.
    waits : list of CallState
        Calls to report back by `call_submitted` at the instant `call.submitted_at`.
    renew_at : float, optional
        Instant at which to call `views_expired`, where calls are held on views that are out of date.
    """

    dispatches: list[CallState]
    waits: list[CallState]
    renew_at: float | None = None


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
        self.num_finished = 0

    # -- events -------------------------------------------------------------------------------------------------------

    def application_arrived(self, application: ApplicationState, now: float) -> Actions:
        """An application arrived: its root calls are ready."""
        if self._observes:
            self._policy.observe(Event(EventKind.APPLICATION_ARRIVED, now, application.app_id, None, None))
        actions = Actions([], [])
        for call in application.calls:
            if not call.num_blocking:
                self._make_ready(call, now, actions, pays_latency=True)
        self._dispatch_ready(now, actions)
        return actions

    def call_submitted(self, call: CallState, now: float) -> Actions:
        """The wait of a call that was returned in `waits` is over."""
        actions = Actions([], [])
        self._submit(call, now)
        self._dispatch_ready(now, actions)
        return actions

    def first_token(self, call: CallState, now: float) -> Actions:
        """The client has seen a call's first token."""
        self._observe(EventKind.FIRST_TOKEN, call, now)
        actions = Actions([], [])
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
        actions = Actions([], [])
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
        actions = Actions([], [])
        self._dispatch_ready(now, actions)
        return actions

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
        self._policy.observe(Event(kind, now, call.app_id, call, engine_id))

    # -- decisions ----------------------------------------------------------------------------------------------------

    def _dispatch_ready(self, now: float, actions: Actions) -> None:
        """Offer every ready call to the policy, in rank order, until no engine is open or all are held."""
        policy, ready = self._policy, self._ready
        if policy.reranks:
            self._rank_again(now)
        held: list[tuple[Any, int, CallState]] = []
        held_classes: set[Any] = set()
        while ready and self._some_engine_is_open():
            entry = heappop(ready)
            call = entry[2]
            if held_classes and policy.hold_class(call) in held_classes:
                held.append(entry)
                continue
            engine_id = policy.route(call, self._engine_views(now) if self._staleness else self._engines, now)
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
        return not self._windowed or any(engine.is_open for engine in self._engines)

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
        if self._staleness:
            return None
        raise PolicyError(
            f"call {call.app_id}/{call.call_id}: route returned engine {engine_id}, whose window of "
            f"{engine.window} calls is full"
        )

    def _dispatch(self, call: CallState, engine: EngineState, now: float) -> None:
        call.engine_id = engine.engine_id
        call.dispatched_at = now
        call.status = CallStatus.DISPATCHED
        engine.add(call)
        self._views_are_outdated = True
        self.decisions.append(now, call, engine.engine_id)

    def _engine_views(self, now: float) -> Sequence[EngineView]:
        if self._staleness and (self._viewed_at < 0.0 or now >= self._viewed_at + self._staleness):
            self._views = [snapshot(engine, now) for engine in self._engines]
            self._viewed_at = now
            self._views_are_outdated = False
        return self._views
