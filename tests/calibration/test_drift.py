"""A card that changes its state during a calibration is noticed."""

import pytest

from realexec.calibration.drift import drift
from sim.fitting.samples import Load, Sample
from sim.profile import load_profile
from sim.step_cost import UNSHARED

TERMS = load_profile("h100-llama-13b").terms


@pytest.fixture
def expected():
    return load_profile("h100-llama-13b").step_cost(async_scheduling=True).step(4, 2000, ())


def decode(point, seconds, **changes):
    load = Load(4, 2000, (), UNSHARED)
    return Sample(point, "decode", False, True, False, seconds, 14, 0.0, False, (load,))._replace(**changes)


def test_steps_that_become_faster_show_in_the_quarters_after(expected):
    samples = [decode(str(number), expected * (1.0 if number < 6 else 0.97)) for number in range(8)]
    assert drift(samples, TERMS) == pytest.approx([0.0, 0.0, 0.0, -0.03], abs=1e-9)


def test_a_point_with_many_samples_is_in_one_quarter(expected):
    samples = [decode("first", expected * 1.1)] * 50 + [decode(str(number), expected) for number in range(3)]
    assert drift(samples, TERMS) == pytest.approx([0.1, 0.0, 0.0, 0.0], abs=1e-9)


@pytest.mark.parametrize("changes", [{"asynchronous": False}, {"is_first": True}])
def test_steps_that_other_things_delay_do_not_count(expected, changes):
    samples = [decode(str(number), expected * 2, **changes) for number in range(4)]
    assert drift(samples, TERMS) == []
    assert drift(samples + [decode(f"plain {number}", expected) for number in range(4)], TERMS) == pytest.approx(
        [0.0] * 4, abs=1e-9
    )
