"""The native scheduler's side of the comparison: which request got which tokens, expanded from its counters.

Steps that can only decode are planned by `run_decodes`, as the engine does when it skips, with the given probability.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from sim.lockstep.sides import OutputView, StepView, numbers, output_view
from sim.request import Request, State
from sim.scheduler import Batch, Scheduler
from sim.settings import EngineSettings

MakeScheduler = Callable[[EngineSettings], Scheduler]


class NativeSide:
    """The native scheduler.

    Parameters
    ----------
    settings : EngineSettings
    skip_share : float
        Probability of planning a step by skipping, where that is allowed.
    rng : numpy.random.Generator
    make_scheduler : callable
        Scheduler from settings; tests pass one with a defect.
    """

    def __init__(
        self,
        settings: EngineSettings,
        skip_share: float,
        rng: np.random.Generator,
        make_scheduler: MakeScheduler = Scheduler,
    ) -> None:
        self._scheduler = make_scheduler(settings)
        self._by_priority = settings.scheduling_policy == "priority"
        self._skip_share = skip_share
        self._rng = rng
        self._inbox: deque[Request] = deque()
        self._must_plan = True
        self._num_complete = 0
        self.num_skipped = 0

    @property
    def has_unfinished(self) -> bool:
        """Whether a request runs or waits."""
        return bool(self._inbox or self._scheduler.running or len(self._scheduler.waiting))

    def add(self, request: Request, token_ids: Sequence[int]) -> None:
        """Enter a request. One that could not join anyway may stay unseen until a step is planned, as in the engine."""
        self._inbox.append(request)
        self._must_plan |= self._scheduler.may_change_next_step()

    def schedule(self) -> StepView:
        """Plan the next step."""
        scheduler = self._scheduler
        decoding = {
            request: scheduler.decodes.num_computed(request)
            for request in scheduler.running
            if request.state is State.DECODE
        }
        before = list(scheduler.running)
        if self._may_skip() and self._rng.random() < self._skip_share:
            scheduler.run_decodes(1)
            self.num_skipped += 1
            batch = Batch()
        else:
            while self._inbox:
                scheduler.add(self._inbox.popleft())
            self._must_plan = False
            batch = scheduler.schedule()
        return self._view(batch, before, decoding)

    def _may_skip(self) -> bool:
        """The engine's rule: nothing arrived or finished that matters, and memory lasts for the step."""
        scheduler = self._scheduler
        if self._must_plan or not scheduler.decodes.size or not scheduler.only_decodes():
            return False
        return scheduler.decodes.steps_within(scheduler.kv_cache.num_free, 1) >= 1

    def _view(self, batch: Batch, before: list[Request], decoding: dict[Request, int]) -> StepView:
        running = self._scheduler.running
        scheduled = {request.sequence: (num_new, computed) for request, num_new, computed in batch.prefills}
        for request, num_computed in decoding.items():
            if request in running and self._has_decoded(request, num_computed):
                scheduled[request.sequence] = (1, num_computed)
        return StepView(
            scheduled,
            sorted(numbers(batch.completed)),
            sorted(numbers([request for request in before if request not in running])),
            self._scheduler.kv_cache.num_free,
            numbers(list(running)),
            self._waiting(),
        )

    def _waiting(self) -> list[int]:
        waiting = numbers([*self._scheduler.waiting, *self._inbox])
        return sorted(waiting) if self._by_priority else waiting

    def _has_decoded(self, request: Request, num_computed: int) -> bool:
        return request.state is State.LAST or self._scheduler.decodes.num_computed(request) > num_computed

    def complete(self) -> OutputView:
        """Take the output of the oldest step that is planned and not complete."""
        last_tokens, finished = self._scheduler.last_tokens, []
        while last_tokens and last_tokens[0][0] <= self._num_complete:
            finished.append(last_tokens.popleft()[1])
        self._num_complete += 1
        finished.sort(key=lambda request: request.admission)
        for request in finished:
            self._scheduler.finish(request)
        self._must_plan |= bool(finished)
        return output_view(finished, self._scheduler.kv_cache.num_free)
