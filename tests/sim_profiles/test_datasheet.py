"""Profiles scaled by datasheet keep what they should and say that nobody measured them."""

import pytest

from sim.fitting.datasheet import A100_80GB, RTX_A6000, scaled
from sim.fitting.notes_rows import NETWORK_SECONDS, PARROT, round_seconds
from sim.profile import check_profile, load_profile


def test_scaling_to_the_same_card_changes_no_step():
    profile = load_profile("a100-llama-7b")
    same = scaled(profile, A100_80GB, A100_80GB)
    assert same.terms == profile.terms
    assert same.engine_defaults == profile.engine_defaults


def test_a_scaled_profile_is_valid_and_claims_no_residuals():
    profile = scaled(load_profile("a100-llama-7b-parrot"), A100_80GB, RTX_A6000)
    check_profile(profile, "scaled")
    assert profile.residuals == ()
    assert profile.measurement.method.startswith("Not measured")


def test_four_a6000_predict_the_four_gpu_row_of_parrot_main():
    """Notes: 5.30 s; 30 maps are 8 a worker at most, reduce has 10 + 30 x 50 + 10 tokens. Not fitted."""
    profile = scaled(load_profile("a100-llama-7b-parrot"), A100_80GB, RTX_A6000)
    maps = round_seconds(profile, PARROT, 8, 1020, 50)
    reduce = round_seconds(profile, PARROT, 1, 1520, 50)
    assert maps + reduce + NETWORK_SECONDS == pytest.approx(5.30, rel=0.05)
