"""A launch that holds up the engine core: what it delays, by hand-computed cases in ticks."""

import msgspec
import pytest

from policies.fifo import Fifo
from sim.run import SimulatedCluster, settings_of, simulate
from traces.workload import Application, Call, Workload, text


@pytest.fixture(params=[True, False], ids=["skipping", "step by step"])
def run(request, ticks, ticking):
    """Simulate calls of (name, arrival in ticks, prompt, output); a launch takes three ticks, its step one more."""
    terms = msgspec.structs.replace(
        ticking.terms, launch_seconds=3 * ticks, seconds_after_launch=ticks, launch_holds_core=True
    )
    profile = msgspec.structs.replace(ticking, terms=terms)

    def simulated(*calls, **limits):
        cluster = SimulatedCluster(profile, 1, settings_of(profile, **limits), skip=request.param)
        apps = tuple(
            Application(name, at * ticks, (Call("c", (text(name, num_prompt),), num_output),))
            for name, at, num_prompt, num_output in calls
        )
        calls = simulate(Workload("w", apps), Fifo(), cluster).calls.set_index("app")
        return calls[["first_token_at", "finished_at"]] / ticks

    return simulated


def test_a_step_ends_no_sooner_than_its_launch_and_decodes_follow(run):
    calls = run(("a", 0, 4, 3))
    assert calls.loc["a"].tolist() == [4, 6]


def test_the_step_ahead_of_a_launch_is_noted_when_that_is_over(run):
    """`a` ends at 7 with the step ahead of the prefill of `b`, which is planned at 6: the core notes it at 9."""
    calls = run(("a", 0, 4, 4), ("b", 5.5, 4, 2))
    assert calls.finished_at.tolist() == [9, 11]
    assert calls.first_token_at.tolist() == [4, 10]


def test_a_first_token_waits_for_the_launch_of_the_step_after(run):
    """`b` comes while `a` is launched: its step is planned at 3 and launched at 6, that of `a` has ended at 4."""
    calls = run(("a", 0, 4, 3), ("b", 1, 4, 2))
    assert calls.first_token_at.tolist() == [6, 7]


def test_launches_follow_each_other(run):
    calls = run(("a", 0, 16, 2), max_num_batched_tokens=8)
    assert calls.loc["a"].tolist() == [7, 8]


def test_with_synchronous_scheduling_the_launch_is_in_the_fitted_time_of_steps(run):
    calls = run(("a", 0, 4, 3), async_scheduling=False)
    assert calls.loc["a"].tolist() == [1, 3]
