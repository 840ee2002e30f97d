"""The client's side of an engine: what is sent to the engine core, and what comes back, with the time that takes.

One for each engine, whatever drives its steps. Arrivals wait in an inbox until the core reads it at a boundary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sim.alarm import Alarm
from sim.clock import ENGINE_ORDER, Clock
from sim.request import Request


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
        From an idle core's first planning to its second, for what arrives just after it woke, where the step cost does
        not say how long its launch holds up the core.
    start : float
        From an idle core's first planning to the start of the step.
    interval : float
        Between two calls that are handed over at once: the client sends one after the other.
    pause : float
        From the last output of a pipeline that has run dry until its core looks at its queue again.
    """

    receive: float = 0.0
    reply: float = 0.0
    wake: float = 0.0
    start: float = 0.0
    interval: float = 0.0
    pause: float = 0.0


NO_DELAYS = EngineDelays()


class EngineListener(Protocol):
    """Who is told when a request is done."""

    def request_finished(self, request: Request, at: float) -> None:
        """The last token reaches the client at the instant `at`.

        The last thing an engine does at a boundary: the listener may move the clock on to `at`.
        """


FirstTokenHook = Callable[[Request, float], None]


class Frontend:
    """Sends calls to one engine core and reports what becomes of them.

    Parameters
    ----------
    engine_id : int
    clock : Clock
    listener : EngineListener
    delays : EngineDelays
    on_first_token : callable, optional
        Told (request, instant) as soon as it is settled when a first token will reach the client.
    """

    def __init__(
        self,
        engine_id: int,
        clock: Clock,
        listener: EngineListener,
        delays: EngineDelays,
        on_first_token: FirstTokenHook | None,
    ) -> None:
        self.inbox: deque[Request] = deque()  # sent and not read by the core yet, in order of arrival
        self._clock = clock
        self._order = ENGINE_ORDER + engine_id
        self._listener = listener
        self._receive, self._reply, self._interval = delays.receive, delays.reply, delays.interval
        self._on_first_token = on_first_token
        self.first_tokens: list[Request] = []  # of the last step with prefills, until it is settled when it is noted
        self._num_requests = 0
        self._last_arrival = -1.0

    def send(self, request: Request, now: float) -> float:
        """Put a request into the inbox; returns when it arrives there."""
        arrived_at = max(now + self._receive, self._last_arrival + self._interval)
        request.arrived_at = self._last_arrival = arrived_at
        request.sequence = self._num_requests
        self._num_requests += 1
        self.inbox.append(request)
        return arrived_at

    def take_arrived(self, at: float, is_idle: bool) -> list[Request]:
        """Take out what arrived before this boundary; a core that was idle also takes what arrives as it wakes."""
        inbox = self.inbox
        arrived = []
        while inbox and (inbox[0].arrived_at < at or (is_idle and inbox[0].arrived_at <= at)):
            arrived.append(inbox.popleft())
        return arrived

    def call_at(self, at: float, callback: Callable[[Alarm], None]) -> Alarm:
        """An alarm of the engine core, which rings after those of clients and of engines of a lower number."""
        return self._clock.call_at(at, callback, self._order)

    def settle_first_tokens(self, at: float) -> None:
        """The core notes the step that gives `first_tokens` at that instant: its launch of the next may hold it up."""
        for request in self.first_tokens:
            self.note_first_token(request, at)
        self.first_tokens = []

    def note_first_token(self, request: Request, step_end: float) -> None:
        """The step that ends then gives a request a token; what was preempted since its first had that before."""
        if request.first_token_at < 0.0:
            request.first_token_at = step_end + self._reply
            if self._on_first_token is not None:
                self._on_first_token(request, request.first_token_at)

    def reply(self, finished: list[Request], at: float) -> None:
        """Report requests whose last token is out. The last thing to do at a boundary: it may move the clock on."""
        for request in finished:
            self._listener.request_finished(request, at + self._reply)
