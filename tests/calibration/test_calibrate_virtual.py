"""A calibration of the virtual device, through vLLM's own engine, finds the profile that the device was given."""

import asyncio

import msgspec
import pytest

from realexec.calibration.profile import calibrated_profile
from realexec.calibration.session import Session, Setup
from realexec.vllm_engine import VllmEngine, VllmOptions
from sim.vllm_version import require_vllm
from tests.calibration.conftest import plain_profile

KNOWN = plain_profile()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    try:
        require_vllm()
    except ValueError as error:
        pytest.skip(str(error))
    kept, lines = [], []
    known = tmp_path_factory.mktemp("profile") / "plain.json"
    known.write_bytes(msgspec.json.encode(KNOWN))

    def make_engine(async_scheduling, folder):
        limits = {"async_scheduling": async_scheduling}
        options = VllmOptions(device="virtual", model="llama-13b", profile=str(known), limits=limits)
        return VllmEngine(0, options, folder)

    cost = KNOWN.step_cost(async_scheduling=True)
    setup = Setup(make_engine, cost, tmp_path_factory.mktemp("engines"), budget=120.0, vocab_size=32000, small=True)
    session = Session(setup, lambda text, left: lines.append(text), kept.append)
    asyncio.run(session.run())
    return session, kept, lines


def test_every_point_of_the_plan_is_run_and_followed(measured):
    session, kept, _ = measured
    assert [raw.points.asynchronous.all() for raw in kept] == [True, False]  # kept after each of two engines
    assert len(kept[-1].points) == len(session.plan)
    _, _, warnings = calibrated_profile("again", kept[-1], KNOWN.model)
    assert warnings == []


def test_the_profile_comes_back(measured):
    """Medians of single steps on a busy test machine: 2 percent, and 4 for prefill, of which a step has one sample."""
    profile, _, _ = calibrated_profile("again", measured[1][-1], KNOWN.model)
    again, known = (each.step_cost(async_scheduling=True) for each in (profile, KNOWN))
    for step in ((1, 300, ()), (8, 8 * 400, ()), (24, 24 * 300, ())):
        assert again.step(*step) == pytest.approx(known.step(*step), rel=0.02)
    for step in ((0, 0, [(512, 0)]), (8, 4000, [(1024, 0)])):
        assert again.step(*step) == pytest.approx(known.step(*step), rel=0.04)
    held_out = [row for row in profile.residuals if not row.fitted and "asynchronous" in row.points]
    assert held_out
    assert all(row.median < 0.03 for row in held_out)


def test_gpu_time_and_settings_are_kept(measured):
    raw = measured[1][-1]
    assert 5 < raw.engine["seconds"] < 120
    assert raw.engine["num_blocks"] == KNOWN.engine_defaults.num_blocks
    assert raw.points.asynchronous.any()
    assert not raw.points.asynchronous.all()


def test_a_budget_that_is_spent_leaves_points_out(measured, tmp_path):
    lines = []

    def make_engine(async_scheduling, folder):
        options = VllmOptions(device="virtual", model="llama-13b", limits={"async_scheduling": async_scheduling})
        return VllmEngine(0, options, folder)

    cost = KNOWN.step_cost(async_scheduling=True)
    setup = Setup(make_engine, cost, tmp_path, budget=1.0, vocab_size=32000, small=True)
    session = Session(setup, lambda text, left: lines.append(text), lambda raw: None)
    asyncio.run(session.run())
    assert session.num_skipped == len(session.plan)
    assert any(line.startswith("out of time") for line in lines)
