"""What each policy decides, on cases small enough to follow."""

import pytest

from policies.app_fifo import AppFifo
from policies.compose import compose
from policies.engines import EngineState
from policies.fifo import Fifo
from policies.interface import HOLD, Policy
from policies.least_loaded import LeastLoaded
from policies.power_of_two import PowerOfTwo
from policies.prefix_affinity import PrefixAffinity
from policies.random import Random
from policies.round_robin import RoundRobin
from policies.stage_priority import StagePriority
from traces.workload import Application, Call, text


def engines_of(system):
    return [call.engine_id for call in system.calls.values()]


def sharing(number, tokens=64):
    """An application of one call whose prompt is the same long text and a question of its own."""
    prompt = (text("system", tokens), text(f"question {number}", 8))
    return Application(f"app{number}", 0.0, (Call("c", prompt, 5),))


def test_fifo_sends_each_call_to_the_engine_with_fewest_the_first_among_equals(gateway, single):
    system = gateway([single(name) for name in "vwxyz"], Fifo(), num_engines=3)
    system.arrive_all()
    assert engines_of(system) == [0, 1, 2, 0, 1]


def test_app_fifo_ranks_by_arrival_of_the_application_then_by_its_name(gateway, single):
    system = gateway([single("b", 2.0), single("a", 2.0), single("c", 1.0)])
    ranks = {name: AppFifo().rank(call, 5.0) for name, call in system.calls.items()}
    assert sorted(ranks, key=ranks.get) == ["c/c", "a/c", "b/c"]


def test_round_robin_takes_engines_in_turn_and_passes_over_full_ones(gateway, single):
    system = gateway([single(name) for name in "uvwxyz"], RoundRobin(), num_engines=3, window=2)
    for name in "uvw":
        system.arrive(name, 0.0)
    assert engines_of(system)[:3] == [0, 1, 2]
    system.finish("v/c", 1.0)
    system.arrive("x", 2.0)
    system.arrive("y", 2.0)
    system.arrive("z", 2.0)
    assert engines_of(system)[3:] == [0, 1, 2]


def test_round_robin_skips_the_engine_whose_window_is_full(gateway, single):
    system = gateway([single(name) for name in "wxyz"], RoundRobin(), num_engines=3, window=1)
    for name in "wxy":
        system.arrive(name, 0.0)
    system.finish("y/c", 1.0)
    system.arrive("z", 2.0)
    assert system.engine_of("z/c") == 2


def test_least_loaded_weighs_prompts_by_their_tokens(gateway, single):
    """Engine 0 has one prompt of 500 tokens, engine 1 collects shorter ones until it has more."""
    apps = [single("long", prompt=500), *(single(f"s{n}", prompt=200) for n in range(4))]
    system = gateway(apps, LeastLoaded(), num_engines=2)
    system.arrive_all()
    assert engines_of(system) == [0, 1, 1, 1, 0]


def test_power_of_two_takes_the_less_loaded_of_its_two(gateway, single):
    """With two engines both are always drawn."""
    system = gateway([single(name) for name in "wxyz"], PowerOfTwo(), num_engines=2)
    system.arrive_all()
    assert engines_of(system) == [0, 1, 0, 1]


def test_power_of_two_never_takes_the_most_loaded_of_three(gateway, single):
    """Whatever pair is drawn, one of its two is not the engine with the most."""
    system = gateway([single(str(n)) for n in range(60)], PowerOfTwo(seed=3), num_engines=3)
    for app in system.coordinator.applications:
        loads = [engine.num_unfinished for engine in system.engines]
        name = f"{system.arrive(app.app_id, 0.0)[0][0]}"
        assert loads[system.engine_of(name)] < max(loads) or loads.count(max(loads)) > 1


@pytest.mark.parametrize("policy_class", [Random, PowerOfTwo])
def test_policies_that_draw_repeat_themselves_with_their_seed(gateway, single, policy_class):
    def draws(seed):
        system = gateway([single(str(n)) for n in range(40)], policy_class(seed), num_engines=5)
        system.arrive_all()
        return engines_of(system)

    assert draws(1) == draws(1) != draws(2)


def test_random_reaches_every_open_engine_and_no_other(gateway, single):
    system = gateway([single(str(n)) for n in range(40)], Random(), num_engines=4, window=10)
    system.arrive_all()
    assert sorted(engines_of(system)) == [0] * 10 + [1] * 10 + [2] * 10 + [3] * 10


# -- prefix affinity --------------------------------------------------------------------------------------------------


def test_a_call_goes_where_its_prompt_is_believed_cached(gateway, single):
    system = gateway([single("x"), sharing(0), sharing(1)], PrefixAffinity(), num_engines=2)
    system.arrive_all()
    assert engines_of(system) == [0, 1, 1]


def test_without_its_guard_prefix_affinity_sends_everything_to_one_engine(gateway):
    system = gateway([sharing(n) for n in range(20)], PrefixAffinity(max_imbalance=1000), num_engines=4)
    system.arrive_all()
    assert set(engines_of(system)) == {0}


@pytest.mark.parametrize("max_imbalance", [0, 1, 4])
def test_its_guard_keeps_every_engine_within_the_imbalance_and_one_call(gateway, max_imbalance):
    """An engine that is exactly `max_imbalance` ahead may still get the one call that is being routed."""
    system = gateway([sharing(n) for n in range(40)], PrefixAffinity(max_imbalance), num_engines=4)
    for app in system.coordinator.applications:
        system.arrive(app.app_id, 0.0)
        loads = [engine.num_unfinished for engine in system.engines]
        assert max(loads) - min(loads) <= max_imbalance + 1
    assert set(engines_of(system)) == {0, 1, 2, 3}


def test_what_was_cached_long_ago_is_believed_to_be_evicted(gateway, single):
    """An engine holds 1600 tokens; another prompt of as many has gone there since, and the outputs are counted too."""
    system = gateway([sharing(0), single("big", prompt=1600), sharing(1)], PrefixAffinity(1000))
    call = system.calls["app1/c"]
    system.arrive("app0", 0.0)
    assert system.engines[0].num_believed_cached_tokens(call) == 64
    system.arrive("big", 0.0)
    assert system.engines[0].num_believed_cached_tokens(call) == 64
    system.finish("app0/c", 1.0)
    assert system.engines[0].num_believed_cached_tokens(call) == 0


def test_prefix_affinity_holds_when_no_engine_is_open(gateway, single):
    system = gateway([sharing(0), sharing(1)], PrefixAffinity(), window=1)
    system.arrive_all()
    assert PrefixAffinity().route(system.calls["app1/c"], system.engines, 0.0) is HOLD


def test_a_negative_imbalance_is_refused():
    with pytest.raises(ValueError, match="max_imbalance=-1 must not be negative"):
        PrefixAffinity(-1)


# -- stage priority and composition -----------------------------------------------------------------------------------


def map_reduce(app_id, num_maps=3, arrival=0.0):
    prompt = (text("p", 10),)
    maps = [Call(f"m{n}", prompt, 5, "map") for n in range(num_maps)]
    reduce = Call("r", prompt, 5, "reduce", tuple(call.id for call in maps))
    return Application(app_id, arrival, (*maps, reduce))


def test_stage_priority_keeps_each_stage_within_its_bound(gateway):
    system = gateway([map_reduce("x", 5)], StagePriority({"map": 2}))
    assert system.arrive("x", 0.0)[0] == ["x/m0", "x/m1"]
    assert system.finish("x/m1", 1.0)[0] == ["x/m2"]
    assert system.engines[0].num_unfinished_of("map") == 2


def test_a_bound_counts_per_engine(gateway):
    system = gateway([map_reduce("x", 5)], StagePriority({"map": 2}), num_engines=2)
    system.arrive("x", 0.0)
    assert engines_of(system) == [0, 1, 0, 1, -1, -1]


def test_a_stage_at_its_bound_does_not_hold_back_the_others(gateway, single):
    system = gateway([map_reduce("x", 3), single("y", stage="chat")], StagePriority({"map": 1}))
    assert system.arrive_all() == ["x/m0", "y/c"]


def test_calls_nearer_the_end_of_their_application_go_first(gateway, single):
    """Maps are two calls from the end, a lone call is the last of its own; equal ones go by arrival."""
    system = gateway(
        [single("w"), map_reduce("x"), map_reduce("y", arrival=-1.0), single("z")], StagePriority(), window=1
    )
    system.arrive_all()
    assert system.finish("w/c", 1.0)[0] == ["z/c"]
    assert system.finish("z/c", 2.0)[0] == ["y/m0"]


@pytest.mark.parametrize("bound", [0, -3, 1.5, "2"])
def test_a_bound_that_is_no_positive_integer_is_refused_with_its_stage(bound):
    with pytest.raises(ValueError, match=r"bounds: stage 'map': .* must be a positive integer"):
        StagePriority({"map": bound})


def test_a_composed_policy_orders_by_one_and_routes_by_the_other(gateway, single):
    apps = [single("w"), map_reduce("x"), single("z")]
    system = gateway(apps, compose(StagePriority(), RoundRobin()), num_engines=2, window=1)
    assert system.arrive_all() == ["w/c", "x/m0"]
    assert system.finish("x/m0", 1.0)[0] == ["z/c"]
    assert system.engine_of("z/c") == 1


def test_a_composed_policy_keeps_the_bounds_of_its_order(gateway):
    system = gateway([map_reduce("x", 6)], compose(StagePriority({"map": 1}), Fifo()), num_engines=3)
    assert system.arrive("x", 0.0)[0] == ["x/m0", "x/m1", "x/m2"]
    assert engines_of(system)[:3] == [0, 1, 2]


def test_a_composed_policy_passes_on_what_either_observes():
    class Observer(Policy):
        def __init__(self):
            self.seen = []

        def observe(self, event):
            self.seen.append(event)

    order, routing = Observer(), Observer()
    compose(order, routing).observe("event")
    assert (order.seen, routing.seen) == (["event"], ["event"])
    assert type(compose(Fifo(), Fifo())).observe is Policy.observe


def test_round_robin_goes_on_in_turn_among_the_engines_it_is_offered():
    engines = [EngineState(i, num_blocks=9, block_size=16, max_num_seqs=8) for i in range(3)]
    policy = RoundRobin()
    assert policy.route(None, engines, 0.0) == 0
    assert policy.route(None, engines[1:], 0.0) == 1
