"""The fits: residuals as stored stay within their bounds, measured steps are met, refits give the same bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sim.fitting import kernel_profiles, parrot_engines, report
from sim.fitting.output import write_profile
from sim.fitting.timelines import StepPoint, windows
from sim.profile import PROFILE_FOLDER, load_profile

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the data collection is not beside the repository")


@pytest.mark.parametrize(
    ("name", "points", "median", "bias"),
    [
        # The project's goal for steps of a calibrated card; bias: repeats of one H100 measurement differ by about 1 %.
        ("h100-llama-13b", "all held-out samples", 0.015, 0.015),
        ("a100-llama-13b-parrot", "odd articles", 0.005, 0.002),
        ("a100-llama-13b-vllm-2023", "odd articles", 0.005, 0.01),  # one published point is 16 % off all others
        ("a100-llama-13b-hf", "odd articles", 0.01, 0.005),
        ("a100-llama-13b", "MuxServe", 0.07, 0.075),  # another engine: nothing of it was fitted
        ("h100-llama-13b-tp2", "same method", 0.07, 0.07),
    ],
)
def test_held_out_points_are_predicted_within_the_stated_bounds(name, points, median, bias):
    rows = [row for row in load_profile(name).residuals if points in row.points]
    assert rows
    for row in rows:
        assert not row.fitted
        assert row.median <= median
        assert abs(row.bias) <= bias


@pytest.mark.parametrize("name", [build.name for build in kernel_profiles.BUILDS if build.name != "a100-llama-7b"])
def test_kernels_that_were_held_out_are_predicted_within_the_goals(name):
    """Median 1.5% and p95 5%."""
    rows = {row.points: row for row in load_profile(name).residuals if not row.fitted}
    dense = rows["layers and output head, every second token count"]
    decode = rows["whole decode steps, attention held out of every second context length"]
    assert dense.num_points > 100
    assert decode.num_points >= 20
    assert max(dense.median, decode.median) <= 0.015
    assert max(dense.p95, decode.p95) <= 0.05


def test_a_staircase_of_tiles_is_followed():
    counts = np.arange(8, 4097, 8)
    stairs = pd.Series(0.01 + 0.003 * np.ceil(counts / 128), index=counts)
    table, errors = kernel_profiles.dense_curve(stairs)
    assert table.counts in kernel_profiles.DENSE_FORMS[1:]
    assert errors.median < 1e-3


@pytest.mark.parametrize(
    ("prompt", "batch", "context", "measured_ms", "tolerance"),
    [
        # vLLM 0.24.0, one H100, Llama-13B shape, asynchronous: medians over 300 decode steps of chain_lat0 and mr15_w2.
        (0, 1, 714, 10.71, 0.03),
        (0, 2, 2 * 1046, 11.29, 0.03),
        # Another card and host, whose prefill of 700 tokens is the faster one.
        (700, 0, 0, 30.3, 0.09),  # first token of a 700-token prompt on an idle engine, chain_lat0
    ],
)
def test_the_h100_profile_meets_single_measured_steps(prompt, batch, context, measured_ms, tolerance):
    profile = load_profile("h100-llama-13b")
    step = profile.step_cost(async_scheduling=True).step(batch, context, [(prompt, 0)] if prompt else ())
    step += profile.overheads.idle_start if prompt else 0.0
    assert step * 1e3 == pytest.approx(measured_ms, rel=tolerance)  # run-to-run differences of single steps


def test_windows_end_after_two_quiet_steps_or_at_twice_their_length():
    quiet = StepPoint(0.01, 1, 100, (), "test")
    busy = StepPoint(0.03, 1, 100, ((50, 0),), "test")
    assert [len(window) for window in windows([[quiet] * 20])] == [8, 8]
    assert [len(window) for window in windows([[busy] * 20])] == [16]


@needs_data
@pytest.mark.parametrize("build", kernel_profiles.BUILDS, ids=lambda build: build.name)
def test_rebuilding_a_kernel_profile_gives_the_same_bytes(tmp_path, build):
    write_profile(kernel_profiles.complete(build, DATA), tmp_path)
    _assert_same_bytes(tmp_path, build.name)


@needs_data
def test_refitting_the_older_engines_gives_the_same_bytes(tmp_path):
    for profile in parrot_engines.profiles(DATA):
        write_profile(profile, tmp_path)
        _assert_same_bytes(tmp_path, profile.name)


def _assert_same_bytes(folder, name):
    assert (folder / f"{name}.json").read_bytes() == (PROFILE_FOLDER / f"{name}.json").read_bytes()


def test_the_documented_table_is_what_the_command_prints():
    documented = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text()
    assert report.report() in documented
