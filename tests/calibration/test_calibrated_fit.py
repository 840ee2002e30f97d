"""A fit to noise-free steps finds the step cost that made them, in a form no richer than they ask for."""

import msgspec
import numpy as np
import pytest

from realexec.calibration.profile import calibrated_profile
from realexec.calibration.raw import RawMeasurement
from realexec.calibration.replay import replayed
from realexec.calibration.samples import samples_of
from sim.fitting.calibrated import coefficients_of, covariance, fit, is_usable, predicted
from sim.fitting.forms import base_form
from sim.fitting.samples import Load, Sample
from sim.profile import load_profile
from sim.step_cost import UNSHARED, Sharing
from tests.calibration.conftest import plain_profile


@pytest.fixture(scope="module")
def calibrated(raw, known):
    profile, samples, warnings = calibrated_profile("again", raw, known.model)
    assert warnings == []
    return profile, samples


def test_held_out_points_are_predicted_within_a_percent(calibrated):
    profile, _ = calibrated
    held_out = [row for row in profile.residuals if not row.fitted]
    # decode and windows of staircases, sharing, prefills, the decode steps between them, and all together
    assert len(held_out) == 7
    for row in held_out:
        assert row.median < 0.005
        assert row.p95 < 0.02


@pytest.mark.parametrize(
    "step",
    [
        (1, 500, (), UNSHARED),
        (24, 24 * 300, (), UNSHARED),
        (16, 16 * 500, ((512, 0),), UNSHARED),
        (0, 0, ((900, 1024),), UNSHARED),
        (20, 20 * 900, (), Sharing(19 * 768, 768, 190 * 768)),
    ],
)
def test_steps_that_no_point_had_cost_what_they_cost_the_known_engine(calibrated, known, step):
    num_decodes, context, prefills, sharing = step
    costs = [profile.step_cost(True) for profile in (calibrated[0], known)]
    again, before = (cost.step(num_decodes, context, prefills, sharing) for cost in costs)
    assert again == pytest.approx(before, rel=0.02)


def test_sharing_is_found_where_it_is_cheaper(calibrated):
    first, again = calibrated[0].terms.decode_context, calibrated[0].terms.repeated_context
    assert again is not None
    assert again.counts[-1] == 32
    assert again.seconds[-1] < 0.5 * np.interp(32, first.counts, first.seconds)
    assert [form.chosen for form in calibrated[0].forms].count(True) == 1


@pytest.mark.parametrize(("factors", "slowdown"), [((1.05, 1.05, 1.05, 1.05), 0.05), ((1.05, 0.95, 1.05, 0.95), 0.0)])
def test_a_slowdown_of_sustained_prefills_is_found_where_all_points_have_it(make_raw, small_plan, factors, slowdown):
    profile = plain_profile()
    samples = samples_of(replayed(make_raw(small_plan, profile))[0])
    load = Load(0, 0, ((2048, 0),), UNSHARED)
    seconds = profile.step_cost(True).step(*load)
    samples += [
        Sample(str(n), "decode", False, True, False, seconds * f, 1, 0.0, True, (load,)) for n, f in enumerate(factors)
    ]
    assert fit(samples).terms.sustained_slowdown == pytest.approx(slowdown, abs=0.01)


def test_no_sharing_is_found_where_there_is_none(make_raw, small_plan):
    profile = plain_profile()
    found, _, _ = calibrated_profile("plain", make_raw(small_plan, profile), profile.model)
    assert found.terms.repeated_context is None
    assert found.terms.decode_context.seconds[0] == pytest.approx(profile.terms.decode_context.seconds[0], rel=0.03)


def test_the_launch_of_an_idle_engine_is_found(calibrated, known):
    assert calibrated[0].overheads.idle_start == pytest.approx(known.overheads.idle_start, abs=2e-4)


def test_standard_errors_are_those_of_repeated_measurements(raw):
    """One percent of noise, common to the steps of a point, drawn again and again: spread against covariance."""
    steps, _ = replayed(raw)
    samples = [sample for sample in samples_of(steps) if is_usable(sample) and not sample.held_out]
    form, rng = base_form(samples), np.random.default_rng(1)
    values, errors = [], []
    for _ in range(12):
        factor = {point: rng.normal(1, 0.01) for point in sorted({sample.point for sample in samples})}
        noisy = [sample._replace(seconds=sample.seconds * factor[sample.point]) for sample in samples]
        found = coefficients_of(form, noisy)
        values.append(found["dense[0]"])
        errors.append(covariance(form, noisy, found).covariance[0][0] ** 0.5)
    # The jackknife errs on the large side; with so few points, by a factor of two or three.
    assert 0.7 < np.mean(errors) / np.std(values, ddof=1) < 3


def test_too_few_points_are_refused(raw, known):
    few = RawMeasurement(raw.engine, raw.points[:3], raw.calls, raw.steps)
    with pytest.raises(ValueError, match="too few for a fit"):
        calibrated_profile("few", few, known.model)


def test_a_calibrated_profile_can_be_written_and_read(calibrated, tmp_path):
    profile, samples = calibrated
    path = tmp_path / "again.json"
    path.write_bytes(msgspec.json.encode(profile))
    assert load_profile(path) == profile
    assert predicted(load_profile(path).terms, samples[:9], 0.0) == predicted(profile.terms, samples[:9], 0.0)
