"""The ready queue, and the only code that calls a policy: it ranks calls, offers them and is told what happened.

The coordinator says which calls are ready and which have left an engine; here the policy decides what is dispatched.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from policies.calls import CallState, CallStatus
from policies.decisions import DecisionLog
from policies.engines import EngineState, snapshot
from policies.interface import EngineId, EngineView, Event, EventKind, Policy, PolicyError
from traces.wording import counted


class Dispatcher:
    """Offers submitted calls to a policy, in its order, and keeps what it holds.

    Parameters
    ----------
    policy : Policy
    engines : sequence of EngineState
        Engine `i` has id `i`.
    view_staleness : float, seconds
        Age up to which the policy sees old engine views; 0 shows live state.

    Attributes
    ----------
    decisions : DecisionLog
    ready : list of (rank, number, CallState)
        A heap of the calls that wait for an engine.
    observes : bool
        Whether the policy looks at events at all; without, none need be told.
    """

    def __init__(self, policy: Policy, engines: Sequence[EngineState], view_staleness: float) -> None:
        self.decisions = DecisionLog()
        self.observes = type(policy).observe is not Policy.observe
        self._policy = policy
        self._ranks = type(policy).rank is not Policy.rank  # the base rank is looked up here, without a call
        self._engines = list(engines)
        self._offered: Sequence[EngineState] = self._engines  # those that are not lost; policies see no others
        self._windowed = all(engine.window for engine in self._engines)
        self._staleness = view_staleness
        self._views: Sequence[EngineView] = self._engines
        self._viewed_at = -1.0
        self._views_are_outdated = False  # whether an engine's state has changed since the views were taken
        self._renewal_is_due = False
        self.ready: list[tuple[Any, int, CallState]] = []
        self._num_submitted = 0
        self._num_returned = 0

    # -- what happened ------------------------------------------------------------------------------------------------

    def submit(self, call: CallState, now: float) -> None:
        """Rank a call and put it into the ready queue."""
        if self.observes:
            self.observe_call(EventKind.CALL_SUBMITTED, call, now)
        call.rank = self._policy.rank(call, now) if self._ranks else call.spec.priority
        try:
            heappush(self.ready, (call.rank, self._num_submitted, call))
        except TypeError as error:
            raise PolicyError(
                f"call {call.app_id}/{call.call_id}: rank returned {call.rank!r}, which does not compare with "
                f"the ranks of other calls: {error}"
            ) from error
        self._num_submitted += 1

    def put_back(self, call: CallState) -> None:
        """Put a call of a lost engine before the others of its rank."""
        self._num_returned += 1
        heappush(self.ready, (call.rank, -self._num_returned, call))

    def release(self, call: CallState) -> None:
        """A call has left its engine."""
        self._engines[call.engine_id].remove(call)
        self._views_are_outdated = True

    def lose(self, lost: EngineState) -> bool:
        """Offer an engine no more; whether any is left."""
        self._offered = [engine for engine in self._offered if engine is not lost]
        self._views = [view for view in self._views if view.engine_id != lost.engine_id]
        return bool(self._offered)

    def clear(self) -> None:
        """Forget every call that waits."""
        self.ready.clear()

    def views_expired(self) -> None:
        """The instant that `dispatch` returned has come."""
        self._renewal_is_due = False

    def observe(self, event: Event) -> None:
        """Tell the policy of an event."""
        self._policy.observe(event)

    def observe_call(self, kind: EventKind, call: CallState, now: float) -> None:
        """Tell the policy what happened to a call."""
        engine_id = call.engine_id if call.engine_id >= 0 else None
        num_output_tokens = call.num_output_tokens if kind is EventKind.CALL_FINISHED else None
        self._policy.observe(Event(kind, now, call.app_id, call, engine_id, num_output_tokens))

    # -- decisions ----------------------------------------------------------------------------------------------------

    def dispatch(self, now: float, dispatches: list[CallState]) -> float | None:
        """Offer every ready call to the policy, in rank order, until no engine is open or all are held.

        Parameters
        ----------
        now : float, seconds
        dispatches : list of CallState
            Gets the calls that go to an engine.

        Returns
        -------
        float or None
            Instant at which `views_expired` is to be called, where calls are held on views that are out of date.
        """
        policy, ready = self._policy, self.ready
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
                self._send(call, engine, now)
                dispatches.append(call)
        if held:
            ready.extend(held)
            heapify(ready)
            if self._staleness and self._views_are_outdated and not self._renewal_is_due:
                self._renewal_is_due = True
                return self._viewed_at + self._staleness
        return None

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
        self.ready[:] = [(self._policy.rank(call, now), number, call) for _, number, call in self.ready]
        heapify(self.ready)

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

    def _send(self, call: CallState, engine: EngineState, now: float) -> None:
        call.engine_id = engine.engine_id
        call.dispatched_at = now
        call.status = CallStatus.DISPATCHED
        engine.add(call)
        self._views_are_outdated = True
        self.decisions.append(now, call, engine.engine_id)
        if self.observes:
            self.observe_call(EventKind.CALL_DISPATCHED, call, now)

    def _engine_views(self, now: float) -> Sequence[EngineView]:
        if self._staleness and (self._viewed_at < 0.0 or now >= self._viewed_at + self._staleness):
            self._views = [snapshot(engine, now) for engine in self._offered]
            self._viewed_at = now
            self._views_are_outdated = False
        return self._views
