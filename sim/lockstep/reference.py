"""vLLM's side of the comparison. Importing this module does not need vLLM; making a side does."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.lockstep.sides import OutputView, StepView, numbers, output_view
from sim.request import Request
from sim.settings import EngineSettings

if TYPE_CHECKING:
    from sim.reference.scheduler import Plan


class ReferenceSide:
    """vLLM's own scheduler.

    Parameters
    ----------
    settings : EngineSettings
    """

    def __init__(self, settings: EngineSettings) -> None:
        from sim.reference.scheduler import ReferenceScheduler

        self._scheduler = ReferenceScheduler(settings)
        self._by_priority = settings.scheduling_policy == "priority"
        self._in_flight: deque[Plan] = deque()

    @property
    def has_unfinished(self) -> bool:
        """Whether a request runs or waits."""
        return self._scheduler.has_unfinished

    @property
    def has_work(self) -> bool:
        """Whether vLLM's engine core would plan another step."""
        return self._scheduler.has_work

    def add(self, request: Request, token_ids: Sequence[int]) -> None:
        """Enter a request of this side's own."""
        self._scheduler.add(request, token_ids)

    def schedule(self) -> StepView:
        """Plan the next step."""
        plan = self._scheduler.schedule()
        self._in_flight.append(plan)
        waiting = numbers(self._scheduler.waiting)
        return StepView(
            {request.sequence: (num_new, computed) for request, num_new, computed in plan.prefills + plan.decodes},
            sorted(numbers(plan.completed)),
            sorted(numbers(plan.preempted)),
            self._scheduler.num_free,
            numbers(self._scheduler.running),
            sorted(waiting) if self._by_priority else waiting,
        )

    def complete(self) -> OutputView:
        """Take the output of the oldest step that is planned and not complete."""
        finished = self._scheduler.complete(self._in_flight.popleft())
        return output_view(finished, self._scheduler.num_free)
