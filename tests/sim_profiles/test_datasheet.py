"""Profiles scaled by datasheet keep what they should and say that nobody measured them."""

from pathlib import Path

import pytest

from sim.fitting.datasheet import (
    A100_80GB,
    H100_80GB,
    H200_141GB,
    RTX_A6000,
    cross_check,
    num_parallel_calls,
    scaled,
)
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


def test_a_card_with_twice_of_everything_takes_half_the_time():
    twice = type(A100_80GB)("twice", 2 * A100_80GB.bandwidth, 2 * A100_80GB.flops, A100_80GB.memory, 108)
    profile = load_profile("a100-llama-7b")
    fast = scaled(profile, A100_80GB, twice)
    assert fast.terms.dense.seconds == pytest.approx([seconds / 2 for seconds in profile.terms.dense.seconds], rel=1e-4)
    assert fast.terms.seconds_per_attention_pair == pytest.approx(profile.terms.seconds_per_attention_pair / 2)


def test_more_bandwidth_alone_helps_decoding_and_leaves_long_prefills():
    profile = load_profile("h100-llama-13b")
    before = profile.step_cost(async_scheduling=True)
    after = scaled(profile, H100_80GB, H200_141GB).step_cost(async_scheduling=True)
    assert after.step(1, 500, ()) / before.step(1, 500, ()) == pytest.approx(3.35 / 4.8, rel=0.01)
    assert after.step(0, 0, [(2048, 0)]) == pytest.approx(before.step(0, 0, [(2048, 0)]), rel=0.01)


def test_h100_predicts_an_a100_within_the_stated_errors():
    """Stated in docs/calibration.md: 10 percent of decoding and of prefill, and up to 35 where the roofs meet."""
    decode, prefill, knee = cross_check()
    assert decode.median < 0.10
    assert prefill.median < 0.10
    assert knee.p95 < 0.35


def test_the_documented_errors_are_those_of_the_command():
    documented = (Path(__file__).parents[2] / "docs" / "calibration.md").read_text()
    for row in cross_check():
        errors = f"{row.num_points} | {row.median:.1%} | {row.p95:.1%} | {row.bias:+.1%} |"
        assert f"| {row.points} | {errors}" in documented


@pytest.mark.parametrize(
    ("device", "num_kv_heads", "num_calls"),
    [
        ("NVIDIA H100 80GB HBM3", 40, 4),  # 132 multiprocessors
        ("NVIDIA H200", 20, 7),
        ("NVIDIA H200", 8, 17),
        ("NVIDIA A100-SXM4-80GB", 40, 3),  # 108
        ("NVIDIA H100 80GB HBM3", 132, 1),
        ("NVIDIA H100 PCIe", 40, 0),
    ],
)
def test_multiprocessors_divided_by_heads_are_calls_side_by_side(device, num_kv_heads, num_calls):
    assert num_parallel_calls(device, num_kv_heads) == num_calls


def test_calls_side_by_side_are_those_of_the_target():
    assert scaled(load_profile("h100-llama-13b"), H100_80GB, A100_80GB).terms.num_parallel_calls == 3
