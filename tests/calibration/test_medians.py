"""Windows that were measured several times count once, and are held out together."""

import pytest

from realexec.calibration.parts import in_parts
from sim.fitting.medians import with_medians
from sim.fitting.samples import Load, Sample
from sim.step_cost import UNSHARED

MODE = " (asynchronous)"


def window(seconds, *, chunk=512, context=100, repeat=0, background="8 of 512", **changes):
    """A prefill beside one decoding call, with the steps around it."""
    loads = tuple(Load(1, context, chunks, UNSHARED) for chunks in ((), ((chunk, 0),), ()))
    point = f"prefill beside {background}, {repeat}{MODE}"
    return Sample(point, "prefill", False, True, False, seconds, 1, 0.0, False, loads)._replace(**changes)


def test_of_three_repeats_the_one_in_the_middle_counts_with_its_own_context():
    stalled = [window(0.04, context=100), window(0.09, context=120), window(0.041, context=110)]
    (sample,) = with_medians(stalled)
    assert (sample.seconds, sample.num_steps) == (0.041, 3)
    assert {load.num_context_tokens for load in sample.loads} == {110}


def test_of_two_repeats_the_mean_counts_in_time_and_context():
    (sample,) = with_medians([window(0.04, context=100), window(0.06, context=120)])
    assert (sample.seconds, sample.loads[0].num_context_tokens, sample.num_steps) == (pytest.approx(0.05), 110, 2)


@pytest.mark.parametrize(
    "changes", [{"chunk": 500}, {"point": "another"}, {"asynchronous": False}, {"held_out": True}, {"is_first": True}]
)
def test_windows_that_ran_something_else_or_elsewhere_are_no_repeats(changes):
    samples = [window(0.04), window(0.05, **changes)]
    assert with_medians(samples) == samples


def test_first_steps_and_decode_steps_are_left_as_they_are():
    decode = Sample("p", "decode", False, True, False, 0.01, 14, 0.0, False, (Load(4, 400, (), UNSHARED),))
    samples = [decode, decode, window(0.04, is_first=True), window(0.05, is_first=True)]
    assert with_medians(samples) == samples


def plan():
    """Forty different windows beside each of two backgrounds, each measured three times."""
    return [
        window(0.03, chunk=chunk, repeat=repeat, background=background)
        for background in ("8 of 512", "32 of 256")
        for repeat in range(3)
        for chunk in range(1, 41)
    ]


def test_a_window_is_held_out_with_all_its_repeats_or_not_at_all():
    samples = in_parts(plan())
    assert len(with_medians(samples)) == 80
    assert {sample.num_steps for sample in with_medians(samples)} == {3}
    by_window = {}
    for sample in samples:
        by_window.setdefault((sample.point, sample.loads), set()).add(sample.held_out)
    assert all(len(each) == 1 for each in by_window.values())


def test_a_fifth_of_the_windows_beside_each_background_is_held_out():
    samples = with_medians(in_parts(plan()))
    assert sum(sample.held_out for sample in samples) == 16
    assert len({sample.point for sample in samples}) == 10
    held_out = {sample.point for sample in samples if sample.held_out}
    assert held_out == {f"prefill beside {each}, part 0{MODE}" for each in ("8 of 512", "32 of 256")}


def test_what_is_held_out_hangs_on_no_time_that_was_measured():
    slower = [sample._replace(seconds=2 * sample.seconds) for sample in plan()]
    held_out, again = ([(s.point, s.held_out) for s in in_parts(each)] for each in (plan(), slower))
    assert held_out == again


def test_other_samples_keep_their_point_and_what_was_drawn_for_it():
    decode = Sample("p", "prefill", True, True, False, 0.01, 14, 0.0, False, (Load(4, 400, (), UNSHARED),))
    others = [decode, window(0.04, is_first=True), window(0.4, is_power_bound=True), window(0.1, kind="decode")]
    assert in_parts(others) == others
