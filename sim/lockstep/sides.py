"""What is compared: one engine's view of a step, and the interface by which both schedulers are driven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sim.request import Request


@dataclass(frozen=True, slots=True)
class StepView:
    """What one scheduler planned, and its books afterwards. Requests are shown by their order of arrival.

    Parameters
    ----------
    scheduled : dict of int to (int, int)
        Tokens computed in this step and before it, by request.
    completed : list of int
        Requests whose prefill ends with this step.
    preempted : list of int
    num_free_blocks : int
    running, waiting : list of int
        In order; under priority order the waiting ones are sorted, because only the next one is defined.
    """

    scheduled: dict[int, tuple[int, int]]
    completed: list[int]
    preempted: list[int]
    num_free_blocks: int
    running: list[int]
    waiting: list[int]


@dataclass(frozen=True, slots=True)
class OutputView:
    """The output of a step: its finished requests with (cached tokens, preemptions), and what is free after it."""

    finished: list[tuple[int, int, int]]
    num_free_blocks: int


class Side(Protocol):
    """One of the two schedulers under comparison."""

    @property
    def has_unfinished(self) -> bool:
        """Whether a request runs or waits."""

    def add(self, request: Request, token_ids: Sequence[int]) -> None:
        """Enter a request of this side's own."""

    def schedule(self) -> StepView:
        """Plan the next step."""

    def complete(self) -> OutputView:
        """Take the output of the oldest step that is planned and not complete."""


def numbers(requests: Sequence[Request]) -> list[int]:
    """Requests as views show them."""
    return [request.sequence for request in requests]


def output_view(finished: Sequence[Request], num_free_blocks: int) -> OutputView:
    """View of some finished requests."""
    rows = [(request.sequence, request.num_cached_tokens, request.num_preemptions) for request in finished]
    return OutputView(rows, num_free_blocks)
