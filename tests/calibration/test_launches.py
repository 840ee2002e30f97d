"""Launches are read off the records: the core notes the end of the step ahead when it has launched the next one."""

import pytest

from realexec.calibration.replay import Step
from realexec.calibration.samples import samples_of
from sim.fitting.launches import UNKNOWN_LAUNCHES, measured_launches, usual_launch
from sim.fitting.samples import Load, Sample
from sim.step_cost import UNSHARED


def step(seconds, prefills=(), *, num_decodes=1, asynchronous=True):
    return Step("p", "prefill", False, asynchronous, False, seconds, num_decodes, 100, UNSHARED, prefills)


def window(seconds, *, tokens=600, num_decodes=1, **changes):
    loads = tuple(Load(num_decodes, 100, chunks, UNSHARED) for chunks in ((), ((tokens, 0),), ()))
    launches = (0.0, seconds, 0.0)
    return Sample("p", "prefill", False, True, False, 0.1, 1, 0.0, False, loads, launches)._replace(**changes)


def test_a_launch_lasts_as_long_as_the_decode_step_ahead_seems_to():
    steps = [step(0.005), step(0.02), step(0.003, ((600, 0),)), step(0.004, ((600, 0),)), step(0.005), step(0.005)]
    (sample,) = (each for each in samples_of(steps) if each.has_prefills)
    assert sample.launches == (0.0, 0.02, 0.0, 0.0)  # what is noted behind a prefill is that prefill, too


@pytest.mark.parametrize("options", [{"core_launches": False}, {"asynchronous": False}])
def test_launches_of_other_processes_or_within_a_step_are_not_seen(options):
    mode = {"asynchronous": options.pop("asynchronous", True)}
    steps = [step(0.02, **mode), step(0.003, ((600, 0),), **mode), step(0.005, **mode)]
    assert {sample.launches for sample in samples_of(steps, **options)} == {()}


def test_launches_are_told_apart_by_graphs_and_those_that_a_large_batch_may_hide_are_left_out():
    samples = [window(0.03)] * 20 + [window(0.01, tokens=100)] * 20 + [window(0.02, tokens=100, num_decodes=64)]
    found = measured_launches(samples, 512)
    assert {*found.beyond_graphs} == {(0.03, 1)}
    assert {*found.within_graphs} == {(0.01, 1)}


@pytest.mark.parametrize("changes", [{"held_out": True}, {"is_first": True}, {"launches": ()}])
def test_launches_are_unknown_where_too_few_were_measured(changes):
    samples = [window(0.03, **changes)] * 20 + [window(0.01, tokens=100)] * 20
    assert measured_launches(samples, 512) == UNKNOWN_LAUNCHES


def test_the_usual_launch_is_the_median_less_what_the_batch_adds():
    assert usual_launch([(0.03, 0), (0.05, 0), (0.021, 100)], 1e-5) == pytest.approx(0.03)
    assert usual_launch([], 1e-5) == 0.0
