"""What synchronous scheduling adds to steps with prefills is found from its own steps, and moves no other term."""

import msgspec
import pytest

from realexec.calibration.replay import replayed
from realexec.calibration.samples import samples_of
from sim.fitting.calibrated import choose_synchronous, coefficients_of, is_usable
from sim.fitting.forms import base_form
from sim.fitting.samples import Load, Sample
from sim.profile import step_cost_of
from sim.step_cost import UNSHARED

HOST = {
    "synchronous_seconds_per_step": 0.0013,
    "synchronous_seconds_per_mixed_step": 0.0006,
    "synchronous_seconds_per_mixed_decode": 4e-5,
    "synchronous_seconds_per_prefill": 8e-5,
}
LOADS = [
    Load(num_decodes, 300 * num_decodes, ((num_new, 0),) * num_prefills, UNSHARED)
    for num_decodes in (1, 8, 64, 128)
    for num_prefills, num_new in ((0, 0), (1, 16), (1, 700), (8, 64), (16, 16))
]


@pytest.fixture(scope="module")
def overlapped(raw):
    return [each for each in samples_of(replayed(raw)[0]) if is_usable(each) and not each.held_out]


@pytest.fixture(scope="module")
def form(overlapped):
    return base_form(overlapped)


def synchronous_samples(form, overlapped, **host):
    """Steps of the form fitted to the asynchronous samples, with host time that only synchronous ones pay."""
    terms = form.terms(coefficients_of(form, overlapped))
    cost = step_cost_of(msgspec.structs.replace(terms, **host), async_scheduling=False)
    return [
        Sample(f"p{index % 7}", "prefill", False, False, False, cost.step(*load), 1, 0.0, False, (load,))
        for index, load in enumerate(LOADS)
    ]


def test_the_host_time_of_steps_with_prefills_is_found(form, overlapped):
    samples = [*overlapped, *synchronous_samples(form, overlapped, **HOST)]
    found, record = choose_synchronous(form, samples)
    assert record[0].name == "synchronous scheduling: base"
    values = coefficients_of(found, samples)
    assert {name: values[name] for name in HOST} == pytest.approx(HOST, rel=0.02)


def test_none_is_added_where_only_the_time_between_steps_is_longer(form, overlapped):
    samples = [*overlapped, *synchronous_samples(form, overlapped, synchronous_seconds_per_step=0.0013)]
    assert choose_synchronous(form, samples)[0] == form


def test_asynchronous_terms_do_not_move(form, overlapped):
    samples = [*overlapped, *synchronous_samples(form, overlapped, **HOST)]
    found, _ = choose_synchronous(form, samples)
    alone, together = coefficients_of(form, overlapped), coefficients_of(found, samples)
    assert {name: together[name] for name in alone if "synchronous" not in name} == {
        name: value for name, value in alone.items() if "synchronous" not in name
    }
