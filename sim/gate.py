"""Parrot's dispatcher in front of an engine: upper bounds on the calls that are inside.

A call enters when, with it, no more calls are inside than any of them allows: the most restrictive upper bound rules,
as in Parrot's annotation of functions. Calls enter in order of arrival. The place of a finished call goes to a waiting
one `release` seconds later; when nobody waits it is free at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from sim.clock import Clock
from sim.cluster import SimulatedEngine
from sim.frontend import EngineListener
from sim.records import StepLog
from sim.request import Request


class Gate:
    """An engine behind upper bounds on resident calls; itself an engine to the cluster.

    Parameters
    ----------
    make_engine : callable
        Builds the engine, given this gate as its listener.
    bounds : mapping of stage to int
        Most calls inside while one of that stage is. A stage that is not named has no bound.
    clock : Clock
    listener : EngineListener
    release : float, seconds
        From the end of a call until a waiting one takes its place.

    Raises
    ------
    ValueError
        When a bound is not positive or `release` is negative.
    """

    def __init__(
        self,
        make_engine: Callable[[EngineListener], SimulatedEngine],
        bounds: Mapping[str, int],
        clock: Clock,
        listener: EngineListener,
        *,
        release: float = 0.0,
    ) -> None:
        for stage, bound in bounds.items():
            if bound < 1:
                raise ValueError(f"bounds[{stage!r}]={bound} must be positive")
        if release < 0.0:
            raise ValueError(f"release={release} must not be negative")
        self._bounds = dict(bounds)
        self._clock = clock
        self._listener = listener
        self._release = release
        self._engine = make_engine(self)
        self._waiting: deque[Request] = deque()
        self._inside: list[Request] = []
        self._num_held_places = 0  # left by finished calls, not yet released

    @property
    def steps(self) -> StepLog:
        """Steps of the engine behind the gate."""
        return self._engine.steps

    def submit(self, request: Request, now: float) -> None:
        """Take a request; it enters the engine when the bounds allow."""
        self._waiting.append(request)
        self._let_in(now)

    def request_finished(self, request: Request, at: float) -> None:
        """The engine is done with a request, the client hears of it at the instant `at`."""
        self._inside.remove(request)
        if self._waiting and self._release:
            self._num_held_places += 1
            self._clock.call_at(at + self._release, lambda _: self._release_place())
        elif self._waiting:
            self._clock.call_at(at, lambda _: self._let_in(self._clock.now))
        self._listener.request_finished(request, at)

    def _release_place(self) -> None:
        self._num_held_places -= 1
        self._let_in(self._clock.now)

    def _let_in(self, now: float) -> None:
        while self._waiting and self._may_enter(self._waiting[0]):
            request = self._waiting.popleft()
            self._inside.append(request)
            self._engine.submit(request, now)

    def _may_enter(self, request: Request) -> bool:
        bounds = [self._bounds[r.call.stage] for r in (*self._inside, request) if r.call.stage in self._bounds]
        num_places = len(self._inside) + self._num_held_places + 1
        return not bounds or num_places <= min(bounds)
