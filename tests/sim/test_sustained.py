"""Cards take longer for prefills once they have run many in a row."""

import pytest

from sim.sustained import FULL_CLOCKS, SustainedPrefill

STEP = 0.1
TOKENS = 2048


def row(sustained, begin, number, tokens=TOKENS):
    """Durations of steps that follow each other without a pause."""
    durations, at = [], begin
    for _ in range(number):
        durations.append(sustained.stretched(at, STEP, tokens))
        at += durations[-1]
    return durations


def test_steps_that_end_within_the_first_three_quarters_of_a_second_take_what_they_take():
    assert row(SustainedPrefill(0.05), 3.0, 10) == [STEP] * 7 + [pytest.approx(1.05 * STEP)] * 3
    assert int(FULL_CLOCKS / STEP) == 7


def test_a_card_has_rested_after_any_other_step():
    sustained = SustainedPrefill(0.05)
    row(sustained, 0.0, 10)
    assert row(sustained, 2.0, 7) == [STEP] * 7


@pytest.mark.parametrize(("slowdown", "tokens"), [(0.0, TOKENS), (0.05, 512)])
def test_without_slowdown_and_below_full_steps_nothing_is_stretched(slowdown, tokens):
    assert row(SustainedPrefill(slowdown), 0.0, 20, tokens) == [STEP] * 20
