"""A policy that says it sees no oracle runs without one; one that says it does cannot."""

import numpy as np
import pytest

from policies.calls import CallState
from policies.compose import compose
from policies.fifo import Fifo
from policies.gateway import Gateway
from policies.load import load_policy, policy_names
from policies.shortest_job import ShortestJob
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.arrivals import poisson_arrivals
from traces.generators.mapreduce import map_reduce


class Looked(Exception):
    """A policy looked at the oracle."""


@pytest.fixture
def run(monkeypatch):
    def look(call):
        raise Looked

    def run(name, *arguments):
        profile = load_profile("h100-llama-13b")
        workload = map_reduce(5, poisson_arrivals(4.0, 6, np.random.default_rng(0)))
        policy = load_policy(name, arguments).policy
        with monkeypatch.context() as patch:
            patch.setattr(CallState, "oracle", property(look))
            simulate(workload, policy, SimulatedCluster(profile, 2, settings_of(profile)), Gateway(window=2))
        return policy

    return run


@pytest.mark.parametrize("name", policy_names())
def test_a_policy_sees_what_it_says(run, name):
    if load_policy(name).policy.uses_oracle:
        with pytest.raises(Looked):
            run(name)
    else:
        run(name)


def test_the_list_is_not_all_of_one_kind():
    assert {load_policy(name).policy.uses_oracle for name in policy_names()} == {True, False}


def test_of_a_policy_and_its_routing_either_may_see_the_oracle():
    assert compose(ShortestJob(), Fifo()).uses_oracle
    assert compose(Fifo(), ShortestJob()).uses_oracle
    assert not compose(ShortestJob("declared"), Fifo()).uses_oracle
