"""Policies by name, with typed parameters, and the order of one with the routing of another."""

import numpy as np
import pytest

from policies.app_fifo import AppFifo
from policies.compose import compose
from policies.gateway import Gateway
from policies.interface import Event, Policy
from policies.load import load_policy, policy_names
from policies.prefix_affinity import PrefixAffinity
from policies.stage_priority import StagePriority
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.arrivals import poisson_arrivals
from traces.generators.mapreduce import map_reduce
from traces.records import RunRecords


class Counting(Policy):
    """Counts what it observes."""

    def __init__(self, scale: float = 1.0, *, names: tuple[str, ...] = (), limit: int | None = 3) -> None:
        self.parameters = (scale, names, limit)
        self.num_observed = 0

    def observe(self, event: Event) -> None:
        self.num_observed += 1


def run(policy: Policy, window: int = 0) -> RunRecords:
    profile = load_profile("h100-llama-13b")
    workload = map_reduce(12, poisson_arrivals(1.0, 6, np.random.default_rng(0)))
    return simulate(workload, policy, SimulatedCluster(profile, 2, settings_of(profile)), Gateway(window=window))


def test_every_policy_of_the_project_has_a_name() -> None:
    expected = "app-fifo fifo least-loaded power-of-two prefix-affinity random round-robin stage-priority"
    assert set(expected.split()) <= set(policy_names())


@pytest.mark.parametrize("name", policy_names())
def test_every_name_loads_a_policy_that_finishes_every_call(name: str) -> None:
    assert (run(load_policy(name).policy).calls["status"] == "ok").all()


def test_arguments_are_typed_by_the_constructor() -> None:
    path = f"{Counting.__module__}:Counting"
    loaded = load_policy(path, ["scale=0.5", "names=a,b", "limit=none"])
    assert loaded.parameters == {"scale": 0.5, "names": ("a", "b"), "limit": None}


def test_the_seed_goes_to_a_policy_that_takes_one_and_gives_way_to_an_argument() -> None:
    assert load_policy("random", seed=5).parameters == {"seed": 5}
    assert load_policy("random", ["seed=9"], seed=5).parameters == {"seed": 9}
    assert load_policy("fifo", seed=5).parameters == {}


def test_a_composed_policy_orders_by_one_and_routes_by_the_other() -> None:
    """Application order with FIFO's routing is what `app-fifo` does by itself."""
    composed, plain = run(compose(AppFifo(), Policy()), window=2), run(AppFifo(), window=2)
    assert composed.calls.equals(plain.calls)


def test_a_composed_policy_keeps_the_bounds_of_its_order() -> None:
    records = run(compose(StagePriority({"map": 3}), PrefixAffinity()))
    maps = records.calls[records.calls["stage"] == "map"]
    for _, own in maps.groupby("engine"):
        starts, ends = own["dispatched_at"].to_numpy(), own["finished_at"].to_numpy()
        assert max(int(((starts <= at) & (ends > at)).sum()) for at in starts) == 3


def test_both_parts_of_a_composed_policy_observe() -> None:
    order, routing = Counting(), Counting()
    run(compose(order, routing))
    # Six arrivals, and three events of each of 78 calls; a simulation need not report first tokens apart.
    assert order.num_observed == routing.num_observed >= 6 + 2 * 78


def test_policies_that_do_not_observe_are_composed_into_one_that_does_not() -> None:
    assert type(compose(AppFifo(), Policy())).observe is Policy.observe
