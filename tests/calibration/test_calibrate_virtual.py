"""A calibration of the virtual device, through vLLM's own engine, finds the profile that the device was given."""

import asyncio

import msgspec
import numpy as np
import pytest

from realexec.calibration.profile import calibrated_profile
from realexec.calibration.replay import replayed
from realexec.calibration.samples import samples_of
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
    setup = Setup(make_engine, cost, tmp_path_factory.mktemp("engines"), budget=3600.0, vocab_size=32000, small=True)
    session = Session(setup, lambda text, left: lines.append(text), kept.append)
    asyncio.run(session.run())
    return session, kept, lines


def test_every_point_of_the_plan_is_run_and_followed(measured):
    session, kept, _ = measured
    assert [raw.points.asynchronous.all() for raw in kept] == [True, False]  # kept after each of two engines
    assert len(kept[-1].points) == len(session.plan)
    _, _, warnings = calibrated_profile("again", kept[-1], KNOWN.model)
    assert warnings == []


def test_steps_take_the_time_that_the_device_was_given(measured):
    """Medians over all samples: any one of them may be of an instant at which the machine was busy elsewhere.

    How near a fit comes to what was measured is judged on simulated calibrations (`test_calibrated_fit.py`).
    """
    cost = KNOWN.step_cost(async_scheduling=True)
    steps, broken = replayed(measured[1][-1])
    assert broken == []
    samples = [sample for sample in samples_of([step for step in steps if step.asynchronous]) if not sample.is_first]
    for has_prefills, tolerance in ((False, 0.02), (True, 0.04)):  # of a step with prefills there is one sample only
        chosen = [sample for sample in samples if sample.has_prefills == has_prefills]
        ratios = [sample.seconds / sum(cost.step(*load) for load in sample.loads) for sample in chosen]
        assert len(ratios) > 20
        assert np.median(ratios) == pytest.approx(1.0, abs=tolerance)


def test_gpu_time_and_settings_are_kept(measured):
    raw = measured[1][-1]
    assert 5 < raw.engine["seconds"] < 3600
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
    assert session.num_missing == len(session.plan) > 0
    assert any(line.startswith("out of time") for line in lines)
