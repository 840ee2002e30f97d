"""A simulated cluster: the coordinator, the engines and the clock, wired together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import pandas as pd

from policies.calls import ApplicationState, CallState, CallStatus
from policies.coordinator import Actions, Coordinator
from policies.interface import BackendError
from sim.alarm import Alarm
from sim.clock import Clock
from sim.frontend import FirstTokenHook
from sim.garbage import collection_paused
from sim.records import CallLog, StepLog, steps_frame
from sim.request import Request
from traces.wording import counted

#: Finished calls between two reports of progress.
PROGRESS_INTERVAL = 5000


class SimulatedEngine(Protocol):
    """What the cluster needs of an engine, whatever it imitates."""

    @property
    def steps(self) -> StepLog:
        """What it ran."""

    def submit(self, request: Request, now: float) -> None:
        """Take a request; its listener hears of its end."""


class Cluster:
    """Runs the calls of a coordinator on simulated engines.

    Parameters
    ----------
    clock : Clock
    coordinator : Coordinator
    make_engines : callable
        Builds the engines, given this cluster as their listener; engine `i` of the result has id `i`.
    """

    def __init__(
        self,
        clock: Clock,
        coordinator: Coordinator,
        make_engines: Callable[[Cluster], Sequence[SimulatedEngine]],
    ) -> None:
        self._clock = clock
        self._coordinator = coordinator
        self._engines = make_engines(self)
        self._calls = CallLog()
        self._arrivals = iter(sorted(coordinator.applications, key=lambda app: app.arrived_at))
        self._next_application: ApplicationState | None = None
        self._on_progress: Callable[[int], None] | None = None

    def run(self, on_progress: Callable[[int], None] | None = None) -> None:
        """Run until every call is done.

        Parameters
        ----------
        on_progress : callable, optional
            Told the number of finished calls, now and then.

        Raises
        ------
        BackendError
            When calls are left that nothing will ever dispatch, because the policy holds them.
        """
        self._on_progress = on_progress
        with collection_paused():
            self._await_application()
            self._clock.run()
        if len(self._calls) < len(self._coordinator.calls):
            stuck = next(call for call in self._coordinator.calls if call.status is CallStatus.SUBMITTED)
            raise BackendError(
                f"{counted(len(self._coordinator.calls) - len(self._calls), 'call')} never ran: the policy holds "
                f"{stuck.app_id}/{stuck.call_id} and nothing is left to happen"
            )

    # -- from the client ----------------------------------------------------------------------------------------------

    def _await_application(self) -> None:
        """Let applications arrive up to the first before which something else is due."""
        for application in self._arrivals:
            if not self._clock.advance(application.arrived_at):
                self._next_application = application
                self._clock.call_at(application.arrived_at, self._application_arrived)
                break
            self._carry_out(self._coordinator.application_arrived(application, application.arrived_at))

    def _application_arrived(self, alarm: Alarm) -> None:
        application = self._next_application
        assert application is not None  # set with the alarm
        self._carry_out(self._coordinator.application_arrived(application, alarm.at))
        self._await_application()

    def _carry_out(self, actions: Actions) -> None:
        for call in actions.dispatches:
            request = Request(call, call.num_prompt_tokens, call.num_output_tokens, call.path, call.rank)
            self._engines[call.engine_id].submit(request, call.dispatched_at)
        for call in actions.waits:
            self._clock.call_at(call.submitted_at, partial(self._call_submitted, call))
        if actions.renew_at is not None:
            self._clock.call_at(actions.renew_at, self._views_expired)

    def _views_expired(self, alarm: Alarm) -> None:
        self._carry_out(self._coordinator.views_expired(alarm.at))

    def _call_submitted(self, call: CallState, alarm: Alarm) -> None:
        self._carry_out(self._coordinator.call_submitted(call, alarm.at))

    # -- from the engines ---------------------------------------------------------------------------------------------

    @property
    def on_first_token(self) -> FirstTokenHook | None:
        """What engines call with first tokens; None where the policy does not learn from them."""
        return self._first_token_due if self._coordinator.wants_first_tokens else None

    def _first_token_due(self, request: Request, at: float) -> None:
        self._clock.call_at(at, partial(self._first_token, request.call))

    def _first_token(self, call: CallState, alarm: Alarm) -> None:
        self._carry_out(self._coordinator.first_token(call, alarm.at))

    def request_finished(self, request: Request, at: float) -> None:
        """An engine is done with a request; its client hears of it at the instant `at`."""
        call: CallState = request.call
        self._calls.append(request, call, at)
        if self._on_progress is not None and len(self._calls) % PROGRESS_INTERVAL == 0:
            self._on_progress(len(self._calls))
        clock = self._clock
        if at <= clock.now or clock.advance(at):
            self._carry_out(self._coordinator.call_finished(call, at))
        else:
            clock.call_at(at, partial(self._call_finished, call))

    def _call_finished(self, call: CallState, alarm: Alarm) -> None:
        self._carry_out(self._coordinator.call_finished(call, alarm.at))

    # -- results ------------------------------------------------------------------------------------------------------

    def frames(self) -> dict[str, pd.DataFrame]:
        """Calls, steps and decisions of the run, as in `traces.records`."""
        calls = self._coordinator.calls
        return {
            "calls": self._calls.frame(calls),
            "steps": steps_frame([engine.steps for engine in self._engines]),
            "decisions": self._coordinator.decisions.frame(calls),
        }
