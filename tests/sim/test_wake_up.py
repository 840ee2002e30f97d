"""The start of an idle engine."""

from itertools import product

import msgspec
import pytest

from policies.fifo import Fifo
from sim.profile import Overheads, Waking, load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.workload import Application, Call, Workload, text


def test_a_first_step_shorter_than_the_wake_up_ends_at_its_own_end_in_both_modes():
    profile = load_profile("h100-llama-13b")
    workload = Workload("w", (Application("a", 0.0, (Call("c", (text("s", 3),), 1),)),))
    ends = []
    for skip in (True, False):
        cluster = SimulatedCluster(profile, 1, settings_of(profile), skip=skip)
        ends.append(simulate(workload, Fifo(), cluster).calls.finished_at[0])
    assert ends[0] == ends[1]


def planned(name, waking, arrivals, *, skip=True):
    """When the calls that arrive then are planned by an engine that takes 1 ms to hear of one, 0.1 ms between two."""
    overheads = Overheads(client_to_engine=0.001, submit_interval=0.0001, idle_wakeup=0.005)
    profile = msgspec.structs.replace(load_profile(name), overheads=overheads, waking=waking)
    workload = Workload(
        "w", tuple(Application(f"a{i}", at, (Call("c", (text(f"s{i}", 9),), 2),)) for i, at in enumerate(arrivals))
    )
    cluster = SimulatedCluster(profile, 1, settings_of(profile), skip=skip)
    return simulate(workload, Fifo(), cluster).calls.scheduled_at.tolist()


each_engine = pytest.mark.parametrize(
    ("name", "skip"), list(product(("h100-llama-13b", "a100-llama-13b-vllm-2023"), (True, False)))
)


@each_engine
def test_without_a_time_to_gather_the_first_of_calls_sent_at_once_is_alone(name, skip):
    first, *others = planned(name, None, [0.0] * 3, skip=skip)
    assert first == pytest.approx(0.001)
    assert min(others) > 0.005


@each_engine
def test_calls_that_arrive_soon_after_the_first_are_planned_with_it_once_the_last_is_there(name, skip):
    *early, late = planned(name, Waking(0.0004, 0.00055), [0.0] * 4, skip=skip)
    assert early == pytest.approx([0.0015] * 3)  # they arrive after 1, 1.4 and 1.5 ms, the fourth after 1.6
    assert late > 0.005


@each_engine
def test_a_call_sent_while_the_core_gathers_puts_off_the_first_step(name, skip):
    assert planned(name, Waking(0.0001, 0.0005), [0.0, 0.0003], skip=skip) == pytest.approx([0.0013] * 2)


@each_engine
def test_an_engine_that_fell_idle_gathers_again(name, skip):
    planned_at = planned(name, Waking(0.0004, 0.00045), [0.0, 9.0, 9.0, 9.0], skip=skip)
    assert planned_at[:3] == pytest.approx([0.001, 9.0014, 9.0014])
    assert planned_at[3] > 9.005


@each_engine
def test_only_the_first_of_calls_sent_at_once_takes_the_longer_interval(name, skip):
    assert planned(name, Waking(0.0004, 0.1), [0.0] * 4, skip=skip) == pytest.approx([0.0016] * 4)
