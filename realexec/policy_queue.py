"""The waiting queue of a vLLM scheduler in the order of a policy's ranks."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from vllm.v1.core.sched.request_queue import RequestQueue
from vllm.v1.request import Request

_Entry = tuple[Any, float, int, Request]


class PolicyQueue(RequestQueue):  # type: ignore[misc]
    """Requests by rank (`Request.priority`, of any type that compares), then arrival, as in vLLM's priority queue.

    There is no front to put a request at: one that comes back takes the place of its rank.
    """

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._num_added = 0

    def add_request(self, request: Request) -> None:
        self._num_added += 1
        heapq.heappush(self._heap, (request.priority, request.arrival_time, self._num_added, request))

    def pop_request(self) -> Request:
        return heapq.heappop(self._heap)[-1]

    def peek_request(self) -> Request:
        return self._heap[0][-1]

    def prepend_request(self, request: Request) -> None:
        self.add_request(request)

    def prepend_requests(self, requests: RequestQueue) -> None:
        for request in requests:
            self.add_request(request)

    def remove_request(self, request: Request) -> None:
        self.remove_requests((request,))

    def remove_requests(self, requests: Iterable[Request]) -> None:
        removed = set(requests)
        self._heap = [entry for entry in self._heap if entry[-1] not in removed]
        heapq.heapify(self._heap)

    def rank_again(self, rank: Callable[[Request], Any]) -> None:
        """Ask for every rank anew."""
        requests = [(entry[-1], entry[1:]) for entry in self._heap]
        for request, _ in requests:
            request.priority = rank(request)
        self._heap = [(request.priority, *rest) for request, rest in requests]
        heapq.heapify(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Request]:
        return iter([entry[-1] for entry in sorted(self._heap, key=lambda entry: entry[:-1])])
