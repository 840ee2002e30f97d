"""Profiles that were calibrated come from the raw points that lie beside them."""

from itertools import pairwise

import numpy as np
import pytest

from realexec.calibration.profile import calibrated_profile
from realexec.calibration.raw import read_raw
from realexec.calibration.replay import replayed
from sim.profile import PROFILE_FOLDER, load_profile
from sim.uncertainty import coefficients

CALIBRATED = sorted(path.stem for path in PROFILE_FOLDER.glob("*.points"))


@pytest.fixture(scope="module", params=CALIBRATED)
def calibrated(request):
    """A shipped profile and its raw points."""
    return load_profile(request.param), read_raw(PROFILE_FOLDER / f"{request.param}.points")


def test_fitting_the_points_again_gives_the_profile(calibrated):
    shipped, raw = calibrated
    again, _, warnings = calibrated_profile(shipped.name, raw, shipped.model)
    assert warnings == []
    assert [form.name for form in again.forms if form.chosen] == [form.name for form in shipped.forms if form.chosen]
    assert coefficients(again.terms) == pytest.approx(coefficients(shipped.terms), rel=1e-3, abs=1e-12)
    assert (again.overheads, again.domain) == (shipped.overheads, shipped.domain)


def test_the_profile_states_when_and_with_what_it_was_measured(calibrated):
    shipped, raw = calibrated
    assert shipped.measurement.date == raw.engine["date"]
    assert shipped.measurement.engine_version == raw.engine["versions"]["vllm"]
    assert f"{raw.engine['seconds']:.0f} s of GPU time" in shipped.measurement.sources[0]
    assert shipped.engine_defaults.num_blocks == raw.engine["num_blocks"]


def test_the_decode_step_before_a_large_prefill_is_noted_late(calibrated):
    """What windows are for: the launch of the prefill delays the note, by more than half a decode step.

    With several GPUs each has a process that launches, so the core, which takes the note, is not held up.
    """
    shipped, raw = calibrated
    steps = [step for step in replayed(raw)[0] if step.asynchronous and step.point.startswith("prefill beside 8 ")]
    decodes = [step.seconds for step in steps if not step.prefills]
    before = [
        step.seconds
        for step, after in pairwise(steps)
        if not step.prefills and sum(new for new, _ in after.prefills) >= 512
    ]
    is_late = np.median(before) > 1.5 * np.median(decodes)
    assert is_late == (shipped.tensor_parallel == 1)
