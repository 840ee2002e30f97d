"""One suite for every policy: whatever it decides, calls finish, windows hold and runs repeat."""

import inspect

import pytest

from policies.app_fifo import AppFifo
from policies.cache_aware import CacheAware
from policies.compose import compose
from policies.gang import Gang
from policies.gateway import Gateway
from policies.load import find_policy_class, policy_names
from policies.parrot import Parrot
from policies.preble import Preble
from policies.prefix_affinity import PrefixAffinity
from policies.random import Random
from policies.round_robin import RoundRobin
from policies.skip_join_mlfq import SkipJoinMlfq
from policies.stage_priority import StagePriority
from policies.virtual_token_counter import VirtualTokenCounter
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.workload import Application, Call, Workload, output_of, text

NUM_ENGINES = 3
STANDALONE = [name for name in policy_names() if "order" not in inspect.signature(find_policy_class(name)).parameters]
POLICIES = {name: find_policy_class(name) for name in STANDALONE} | {
    "prefix-affinity by tokens": lambda: PrefixAffinity(1, "tokens"),
    "parrot with tight bounds": lambda: Parrot(1, 2),
    "gang that backfills": lambda: Gang(backfill=True),
    "skip-join-mlfq that promotes": lambda: SkipJoinMlfq(8, 3, promote_after=0.01),
    "gang + preble": lambda: compose(Gang(), Preble()),
    "virtual-token-counter + cache-aware": lambda: compose(VirtualTokenCounter("application"), CacheAware(0.1, 1)),
    "stage-priority with bounds": lambda: StagePriority({"map": 2, "reduce": 1}),
    "stage-priority + prefix-affinity": lambda: compose(StagePriority({"map": 2}), PrefixAffinity(1)),
    "app-fifo + round-robin": lambda: compose(AppFifo(), RoundRobin()),
    "app-fifo + random": lambda: compose(AppFifo(), Random(1)),
}


def map_reduce(number):
    maps = [Call(f"m{n}", (text("system", 40), text(f"{number}.{n}", 30)), 24 + 4 * n, "map") for n in range(4)]
    parts = tuple(output_of(call.id) for call in maps)
    return Application(str(number), number * 0.005, (*maps, Call("r", parts, 20, "reduce", ("m0", "m1", "m2", "m3"))))


WORKLOAD = Workload("map-reduce", tuple(map(map_reduce, range(8))))


@pytest.fixture(params=POLICIES)
def run(request):
    """Run the workload under the policy, made anew, with a window and engine limits."""

    def simulated(window=0, **limits):
        profile = load_profile("h100-llama-13b")
        cluster = SimulatedCluster(profile, NUM_ENGINES, settings_of(profile, **limits))
        return simulate(WORKLOAD, POLICIES[request.param](), cluster, Gateway(window=window))

    return simulated


def most_unfinished(calls):
    """Most calls that were dispatched to one engine and not finished, at any instant."""
    most = 0
    for _, own in calls.groupby("engine"):
        ends = [(at, -1) for at in own.finished_at]  # at one instant an end makes room before a dispatch takes it
        changes, num = sorted(ends + [(at, 1) for at in own.dispatched_at]), 0
        for _, change in changes:
            num += change
            most = max(most, num)
    return most


@pytest.mark.parametrize("window", [0, 1, 3])
def test_every_call_finishes_on_an_engine_there_is(run, window):
    calls = run(window=window).calls
    assert (calls.status == "ok").all()
    assert calls.engine.between(0, NUM_ENGINES - 1).all()


@pytest.mark.parametrize("window", [1, 2, 5])
def test_the_window_is_never_exceeded(run, window):
    assert most_unfinished(run(window=window).calls) <= window


def test_equal_runs_give_equal_records(run):
    first, second = run(window=2), run(window=2)
    for table in ("calls", "steps", "decisions"):
        assert getattr(first, table).equals(getattr(second, table))


def test_every_call_finishes_when_engines_preempt_and_order_by_the_policy_s_rank(run):
    calls = run(num_blocks=15, scheduling_policy="priority").calls
    assert (calls.status == "ok").all()


def test_preemptions_do_happen_in_the_workload_with_little_memory():
    profile = load_profile("h100-llama-13b")
    cluster = SimulatedCluster(profile, NUM_ENGINES, settings_of(profile, num_blocks=15))
    assert simulate(WORKLOAD, POLICIES["fifo"](), cluster).calls.num_preemptions.sum() > 0
