"""The comparison can fail: schedulers with a defect are found out, and the case is shrunk to a few calls."""

from dataclasses import replace
from itertools import count

import pytest

from sim.lockstep.compare import Difference, compare
from sim.lockstep.draw import draw_case
from sim.lockstep.report import describe
from sim.lockstep.shrink import shrink
from sim.scheduler import Scheduler


class NoWatermark(Scheduler):
    """Admits into memory that should stay free."""

    def __init__(self, settings):
        super().__init__(replace(settings, watermark=0.0))


class RoundsDown(Scheduler):
    """Counts only the full blocks of what it plans."""

    def _num_blocks(self, num_tokens):
        return max(1, num_tokens // self._block_size)


class EvictsFirst(Scheduler):
    """Preempts the first admitted request, not the last."""

    def _victim(self, order):
        return order[0]


class ForgetsHits(Scheduler):
    """Reports one cached token too few."""

    def _start(self, request, num_cached):
        super()._start(request, num_cached)
        request.num_cached_tokens = max(0, request.num_cached_tokens - 1)


def first_difference(scheduler) -> Difference:
    for seed in range(200):
        difference = compare(draw_case(seed), make_scheduler=scheduler)
        if difference is not None:
            return difference
    pytest.fail("not found in 200 cases")


@pytest.mark.parametrize("scheduler", [NoWatermark, RoundsDown, EvictsFirst, ForgetsHits])
def test_a_defect_is_found_and_shrunk_to_a_few_calls(scheduler) -> None:
    found, tries = first_difference(scheduler), count()
    # Tries are limited, not seconds: a slow machine shrinks a case as far as a fast one.
    small = shrink(
        found.case,
        lambda case: next(tries) < 400 and compare(case, make_scheduler=scheduler) is not None,
        seconds=600,
    )
    assert sum(len(application.calls) for application in small.workload.applications) <= 4
    text = describe(compare(small, make_scheduler=scheduler))
    assert "first difference, step" in text
    assert "\n! " in text


def test_a_shrunk_case_keeps_only_what_the_defect_needs() -> None:
    found = first_difference(NoWatermark)
    small = shrink(found.case, lambda case: compare(case, make_scheduler=NoWatermark) is not None, seconds=600)
    assert small.settings.watermark > 0.0
    assert not small.settings.enable_prefix_caching
    assert compare(small) is None
