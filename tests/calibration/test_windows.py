"""Steps of a sample follow each other, and none ends before its launch is over."""

import pytest

from sim.fitting.samples import Load, Sample
from sim.fitting.windows import launches_of, sample_seconds, window_of
from sim.step_cost import UNSHARED, Curve, ProfiledStepCost, StepTerms

LOADS = tuple(Load(1, 100, chunks, UNSHARED) for chunks in ((), ((600, 0),), ()))


def sample(*, asynchronous=True, is_first=False):
    return Sample("p", "prefill", False, asynchronous, is_first, 0.1, 1, 0.0, False, LOADS)


def test_steps_without_a_launch_add_up():
    window = window_of(sample(), [0.01, 0.02, 0.01], [0.0, 0.0, 0.0], 0.0)
    assert window.seconds == pytest.approx(0.04)
    assert (sorted(window.steps), window.launch_seconds) == ([0, 1, 2], 0.0)


def test_a_launch_begins_with_the_step_before_and_hides_both():
    window = window_of(sample(), [0.01, 0.02, 0.01], [0.0, 0.04, 0.0], 0.0)
    assert window.seconds == pytest.approx(0.04 + 0.01)
    assert (window.steps, window.launch_seconds, window.launched) == ((2,), 0.04, (1,))


def test_a_launch_that_the_device_outlasts_costs_nothing():
    window = window_of(sample(), [0.01, 0.05, 0.01], [0.0, 0.04, 0.0], 0.0)
    assert window.seconds == pytest.approx(0.07)
    assert window.launch_seconds == 0.0


def test_launches_of_neighbouring_steps_overlap():
    """The third is planned when the second begins, at the end of the first: its launch hides the second's end."""
    window = window_of(sample(), [0.01, 0.02, 0.01], [0.0, 0.025, 0.06], 0.0)
    assert window.seconds == pytest.approx(0.01 + 0.06)
    assert (window.steps, window.launch_seconds) == ((0,), 0.06)


def test_with_synchronous_scheduling_a_step_is_planned_when_the_one_before_ends():
    window = window_of(sample(asynchronous=False), [0.01, 0.02, 0.01], [0.0, 0.03, 0.0], 0.0)
    assert window.seconds == pytest.approx(0.01 + 0.03 + 0.01)
    assert sorted(window.steps) == [0, 2]


@pytest.mark.parametrize(("launch", "seconds", "has_idle_start"), [(0.02, 0.035, True), (0.03, 0.04, False)])
def test_the_first_launch_of_an_idle_engine_begins_with_the_window(launch, seconds, has_idle_start):
    window = window_of(sample(is_first=True), [0.02, 0.005, 0.005], [launch, 0.0, 0.0], 0.005)
    assert window.seconds == pytest.approx(seconds)
    assert window.has_idle_start == has_idle_start


def test_a_window_that_begins_amid_others_does_not_know_when_its_first_step_was_planned():
    window = window_of(sample(), [0.02, 0.01, 0.01], [0.05, 0.0, 0.0], 0.0)
    assert window.seconds == pytest.approx(0.04)


def test_measured_launches_bound_their_steps_unless_the_step_ahead_may_hide_them():
    measured = sample()._replace(launches=(0.0, 0.03, 0.0))
    assert launches_of(measured, [0.01, 0.02, 0.01], [0.002] * 3) == [0.0, pytest.approx(0.032), 0.0]
    assert launches_of(measured, [0.029, 0.02, 0.01], [0.002] * 3) == [0.0, 0.0, 0.0]


def cost(**changes):
    """10 ms a step; a launch beyond 512 tokens holds up the core for 25 ms, and its step ends 2 ms later."""
    launch = {"num_graph_tokens": 512, "launch_seconds": 0.025, "seconds_after_launch": 0.002} | changes
    return ProfiledStepCost(StepTerms(Curve((1,), (0.01,)), **{"launch_holds_core": True} | launch))


def test_a_sample_takes_as_long_as_its_own_launch_where_that_was_measured_and_as_usual_elsewhere():
    measured = sample()._replace(launches=(0.0, 0.05, 0.0))
    assert sample_seconds(cost(), measured, 0.0) == pytest.approx(0.05 + 0.002 + 0.01)
    assert sample_seconds(cost(), sample(), 0.0) == pytest.approx(0.025 + 0.002 + 0.01)


def test_the_next_launch_begins_when_the_core_is_free():
    """The first is over at 25, though the step ahead ended at 10: the second begins then."""
    loads = tuple(Load(1, 100, chunks, UNSHARED) for chunks in ((), ((600, 0),), ((600, 0),), ()))
    both = sample()._replace(loads=loads)
    assert sample_seconds(cost(), both, 0.0) == pytest.approx(0.025 + 0.025 + 0.002 + 0.01)
    assert sample_seconds(cost(launch_holds_core=False), both, 0.0) == pytest.approx(0.01 + 0.025 + 0.002 + 0.01)
