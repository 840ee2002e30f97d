"""Boundaries of a stretch of decode steps in closed form."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sim.timeline import NOTHING, Stretch

SECONDS = st.floats(1e-4, 1.0)


def stretch(duration, growth, start=0.0):
    return Stretch(0, start, duration, growth, 0, NOTHING)


def test_step_i_takes_the_first_duration_and_i_times_the_growth():
    """10, 11 and 12 ms after 1 s."""
    three = stretch(0.010, 0.001, start=1.0)
    assert [three.end(n) for n in range(4)] == pytest.approx([1.0, 1.010, 1.021, 1.033])


@pytest.mark.parametrize(("instant", "expected"), [(-5.0, 1), (0.0, 1), (0.5, 1), (1.0, 2), (2.9, 2), (3.0, 3)])
def test_an_instant_at_a_boundary_belongs_to_the_step_behind_it(instant, expected):
    """Steps of 1, 2 and 3 s end at 1, 3 and 6 s."""
    assert stretch(1.0, 1.0).steps_ending_after(instant) == expected


@given(SECONDS, st.one_of(st.just(0.0), st.floats(1e-9, 1e-2)), st.floats(0.0, 100.0), st.floats(-1.0, 30.0))
def test_the_step_of_an_instant_is_the_one_found_by_counting(duration, growth, start, gap):
    instant = start + gap
    steps = stretch(duration, growth, start)
    assume(gap / duration < 3000)
    counted = next(n for n in range(1, 5000) if steps.end(n) > instant)
    assert steps.steps_ending_after(instant) == counted


@given(SECONDS, st.floats(1e-9, 1e-2), st.integers(1, 1000))
def test_the_very_end_of_a_step_is_found_in_spite_of_rounding(duration, growth, num_steps):
    steps = stretch(duration, growth, start=1e3)
    assert steps.steps_ending_after(steps.end(num_steps)) == num_steps + 1
