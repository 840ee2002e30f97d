"""Profiles scaled by datasheet keep what they should and say that nobody measured them."""

from sim.fitting.datasheet import A100_80GB, RTX_A6000, scaled
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
