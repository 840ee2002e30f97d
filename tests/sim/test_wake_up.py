"""The start of an idle engine, and of one that has run dry."""

import pytest

from policies.fifo import Fifo
from sim.engines import EMPTY_STEP_SLEEP
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.workload import Application, Call, Workload, text

PROFILE = load_profile("h200-llama-13b")


def test_a_first_step_shorter_than_the_wake_up_ends_at_its_own_end_in_both_modes():
    profile = load_profile("h100-llama-13b")
    workload = Workload("w", (Application("a", 0.0, (Call("c", (text("s", 3),), 1),)),))
    ends = []
    for skip in (True, False):
        cluster = SimulatedCluster(profile, 1, settings_of(profile), skip=skip)
        ends.append(simulate(workload, Fifo(), cluster).calls.finished_at[0])
    assert ends[0] == ends[1]


def end_and_next_prefill(*, async_scheduling):
    """The end of a call's last step, and the start of the prefill of a call that reached the core during that step."""
    cluster = SimulatedCluster(PROFILE, 1, settings_of(PROFILE, async_scheduling=async_scheduling))
    calls = {name: (Call("c", (text(name, 700),), 5),) for name in "ab"}
    first = Application("a", 0.0, calls["a"])
    alone = simulate(Workload("w", (first,)), Fifo(), cluster)
    end = float(alone.calls.finished_at[0]) - PROFILE.overheads.engine_to_client
    second = Application("b", end - 0.004 - PROFILE.overheads.client_to_engine, calls["b"])
    steps = simulate(Workload("w", (first, second)), Fifo(), cluster).steps
    return end, steps.started_at[steps.num_prefills > 0].iloc[1]


def test_a_pipeline_that_has_run_dry_starts_like_an_idle_engine_after_the_core_has_slept():
    end, started_at = end_and_next_prefill(async_scheduling=True)
    assert started_at == pytest.approx(end + EMPTY_STEP_SLEEP + PROFILE.overheads.idle_start)


def test_an_engine_with_synchronous_scheduling_goes_on_without_a_pause():
    end, started_at = end_and_next_prefill(async_scheduling=False)
    assert started_at == pytest.approx(end)


def test_a_call_that_waited_for_the_only_place_starts_behind_a_pipeline_that_has_run_dry():
    calls = tuple(Application(name, 0.0, (Call("c", (text(name, 700),), 5),)) for name in "ab")
    cluster = SimulatedCluster(PROFILE, 1, settings_of(PROFILE, max_num_seqs=1))
    records = simulate(Workload("w", calls), Fifo(), cluster)
    end = records.calls.finished_at.min() - PROFILE.overheads.engine_to_client
    assert records.calls.scheduled_at.max() == pytest.approx(end + EMPTY_STEP_SLEEP)
