"""The waiting queue of an engine, first come first served or by priority, as vLLM's `RequestQueue`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

from sim.request import Request


class WaitingQueue(Protocol):
    """Requests that are not running, in the order in which they may start."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Request]: ...
    def add(self, request: Request) -> None:
        """Enter a new request."""

    def put_back(self, request: Request) -> None:
        """Enter a preempted request."""

    def peek(self) -> Request:
        """The request to start next; the queue is not empty."""

    def take(self) -> Request:
        """Remove and return it."""

    def remove(self, request: Request, /) -> None:
        """Remove one request from anywhere."""


class FirstComeFirstServed(deque[Request]):
    """Order of arrival; a preempted request goes to the head."""

    add = deque.append  # the deque's own methods: a request passes here three times
    put_back = deque.appendleft
    take = deque.popleft

    def peek(self) -> Request:
        return self[0]


class ByPriority:
    """Lowest (priority, arrival) first; a preempted request competes like any other."""

    def __init__(self) -> None:
        self._heap: list[tuple[Any, float, int, Request]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, request: Request) -> None:
        heappush(self._heap, (request.priority, request.arrived_at, request.sequence, request))

    def __iter__(self) -> Iterator[Request]:
        """In the order in which they would start."""
        return (entry[3] for entry in sorted(self._heap, key=lambda entry: entry[:3]))

    def put_back(self, request: Request) -> None:
        self.add(request)

    def peek(self) -> Request:
        return self._heap[0][3]

    def take(self) -> Request:
        return heappop(self._heap)[3]

    def remove(self, request: Request, /) -> None:
        self._heap = [entry for entry in self._heap if entry[3] is not request]
        heapify(self._heap)
