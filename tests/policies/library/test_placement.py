"""Where policies of the literature send calls, and what they hold back, on cases small enough to follow."""

import pytest

from policies.cache_aware import CacheAware
from policies.gang import Gang
from policies.parrot import Parrot
from policies.preble import Preble
from policies.prefix_affinity import PrefixAffinity
from traces.workload import Application, Call, output_of, text


def engines_of(system):
    return [call.engine_id for call in system.calls.values()]


def sharing(name, number, tokens=64, own=8):
    """An application of one call: a long text that others with the same `name` share, and a question of its own."""
    return Application(f"{name}{number}", 0.0, (Call("c", (text(name, tokens), text(f"{name}{number}", own)), 5),))


def map_reduce(app_id, num_maps=3, arrival=0.0):
    maps = [Call(f"m{n}", (text(f"{app_id}{n}", 10),), 5, "map") for n in range(num_maps)]
    names = tuple(call.id for call in maps)
    return Application(app_id, arrival, (*maps, Call("r", tuple(map(output_of, names)), 5, "reduce", names)))


# -- gang -------------------------------------------------------------------------------------------------------------


def test_siblings_go_out_together_or_not_at_all(gateway, single):
    """Five places: one taken, four free; five siblings wait for the fifth."""
    system = gateway([single("x"), map_reduce("mr", 5)], Gang(), window=5)
    assert system.arrive_all() == ["x/c"]
    assert system.finish("x/c", 1.0)[0] == ["mr/m0", "mr/m1", "mr/m2", "mr/m3", "mr/m4"]


def test_the_places_of_all_engines_count(gateway, single):
    system = gateway([single("x"), map_reduce("mr", 3)], Gang(), num_engines=2, window=2)
    assert system.arrive_all() == ["x/c", "mr/m0", "mr/m1", "mr/m2"]
    assert engines_of(system)[:4] == [0, 1, 0, 1]


def test_whatever_is_younger_waits_behind_a_gang_unless_it_may_backfill(gateway, single):
    def sent(backfill):
        apps = [single("x"), map_reduce("mr", 3), single("y", arrival=1.0)]
        return gateway(apps, Gang(backfill), window=3).arrive_all()

    assert sent(backfill=False) == ["x/c"]
    assert sent(backfill=True) == ["x/c", "y/c"]


def test_a_gang_that_is_larger_than_all_windows_goes_out_when_they_are_empty(gateway, single):
    system = gateway([single("x"), map_reduce("mr", 5)], Gang(), window=2)
    assert system.arrive_all() == ["x/c"]
    assert system.finish("x/c", 1.0)[0] == ["mr/m0", "mr/m1"]
    assert system.finish("mr/m0", 2.0)[0] == []
    assert system.finish("mr/m1", 3.0)[0] == ["mr/m2", "mr/m3"]


def test_calls_of_a_chain_are_not_siblings(gateway):
    chain = Application("k", 0.0, (Call("a", (text("p", 9),), 5), Call("b", (text("q", 9),), 5, deps=("a",))))
    assert gateway([chain], Gang(), window=1).arrive("k", 0.0)[0] == ["k/a"]


# -- cache-aware ------------------------------------------------------------------------------------------------------


def test_a_call_goes_where_more_than_the_threshold_of_its_prompt_is_cached(gateway, single):
    """64 of 72 tokens are shared, 0.89 of the prompt; engine 0 was sent least."""
    for threshold, engine in ((0.5, 1), (0.95, 0)):
        apps = [single("a", prompt=10), sharing("y", 0), sharing("y", 1)]
        system = gateway(apps, CacheAware(threshold), num_engines=2)
        system.arrive_all()
        assert engines_of(system) == [0, 1, engine]


def test_below_the_threshold_the_engine_that_was_sent_least_gets_the_call(gateway, single):
    """Not the least loaded: engine 0 has finished, but holds more in its cache."""
    system = gateway(
        [single("a", prompt=300), single("b", prompt=100), single("c", prompt=50)], CacheAware(), num_engines=2
    )
    system.arrive("a", 0.0)
    system.arrive("b", 0.0)
    system.finish("a/c", 1.0)
    system.arrive("c", 2.0)
    assert engines_of(system) == [0, 1, 1]


@pytest.mark.parametrize("threshold", [2, 5])
def test_calls_herd_until_the_engine_is_further_ahead_than_the_absolute_threshold(gateway, threshold):
    system = gateway([sharing("x", n) for n in range(9)], CacheAware(0.5, threshold), num_engines=3)
    system.arrive_all()
    assert engines_of(system)[: threshold + 2] == [0] * (threshold + 1) + [1]


@pytest.mark.parametrize(("relative", "num_herded"), [(1.0001, 4), (3.0, 7)])
def test_loads_differ_only_when_the_relative_threshold_is_passed_as_well(gateway, relative, num_herded):
    """Two calls are at the other engine: 4 is more than 1 ahead of them, 7 is more than three times them."""
    apps = [*(sharing("y", n) for n in range(2)), *(sharing("x", n) for n in range(9))]
    system = gateway(apps, CacheAware(0.5, 1, relative), num_engines=2)
    system.arrive_all()
    assert engines_of(system)[: num_herded + 3] == [0, 0] + [1] * num_herded + [0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cache_threshold": 1.5}, r"cache_threshold=1\.5 must be between 0 and 1"),
        ({"balance_abs_threshold": -1}, "balance_abs_threshold=-1 must not be negative"),
        ({"balance_rel_threshold": 0.5}, r"balance_rel_threshold=0\.5 must be at least 1"),
    ],
)
def test_thresholds_out_of_range_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        CacheAware(**values)


# -- Preble -----------------------------------------------------------------------------------------------------------


def test_a_prefix_is_exploited_when_it_is_longer_than_the_rest_of_the_prompt(gateway):
    """Engine 0 is more loaded, by less than `balance` allows; 64 tokens are cached there."""
    for own, engine in ((60, 0), (70, 1)):
        system = gateway([sharing("x", 0, own=own), sharing("x", 1, own=own)], Preble(0), num_engines=2)
        system.arrive_all()
        assert engines_of(system) == [0, engine]


def test_an_overloaded_holder_of_a_prefix_is_left_for_another_engine(gateway):
    """Calls of 72 tokens: the holder may have twice the least load and the call, 144, and gets a fourth beyond."""
    system = gateway([sharing("x", n) for n in range(6)], Preble(0, balance=2.0), num_engines=2)
    system.arrive_all()
    assert engines_of(system)[:4] == [0, 0, 0, 1]


def test_exploring_weighs_load_against_what_is_cached(gateway, single):
    """A third of the prompt is cached at engine 1, so it costs less there although the load is equal."""
    system = gateway(
        [single("a", prompt=108), sharing("x", 0, own=44), sharing("x", 1, own=128)], Preble(0), num_engines=2
    )
    system.arrive_all()
    assert engines_of(system) == [0, 1, 1]


def test_exploring_draws_as_many_engines_as_it_is_told(gateway, single):
    """Two of eight hit the least loaded less often than eight of eight, which fills them evenly."""
    spread = {}
    for num_choices in (2, 0):
        system = gateway([single(str(n)) for n in range(40)], Preble(num_choices, seed=1), num_engines=8)
        system.arrive_all()
        loads = [engine.num_unfinished for engine in system.engines]
        spread[num_choices] = max(loads) - min(loads)
    assert spread[0] == 0 < spread[2]


@pytest.mark.parametrize(
    ("values", "message"), [({"num_choices": -1}, "num_choices=-1"), ({"balance": 0.9}, "balance=0.9")]
)
def test_impossible_choices_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Preble(**values)


# -- Parrot -----------------------------------------------------------------------------------------------------------


def test_a_group_stays_on_one_engine_and_another_takes_the_next(gateway):
    """The paper's algorithm 1 finds one engine for a task group."""
    system = gateway([map_reduce("a"), map_reduce("b")], Parrot(), num_engines=2)
    system.arrive_all()
    assert [system.engine_of(f"a/m{n}") for n in range(3)] == [0, 0, 0]
    assert [system.engine_of(f"b/m{n}") for n in range(3)] == [1, 1, 1]


def test_a_group_goes_only_where_all_of_it_fits_if_there_is_such_an_engine(gateway, single):
    """Engine 1 has fewer prompt tokens, but only room for two."""
    apps = [single("x0", prompt=500), single("y0"), single("y1"), map_reduce("mr", 3)]
    system = gateway(apps, Parrot(4, 4, bulk=("x", "y")), num_engines=2)
    system.arrive_all()
    assert [system.engine_of(name) for name in ("x0/c", "y0/c", "y1/c")] == [0, 1, 1]
    assert [system.engine_of(f"mr/m{n}") for n in range(3)] == [0, 0, 0]


def test_a_group_that_fits_no_engine_is_split(gateway):
    system = gateway([map_reduce("mr", 6)], Parrot(4, 4), num_engines=2)
    system.arrive_all()
    assert sorted(engines_of(system)[:6]) == [0, 0, 0, 0, 1, 1]


def test_results_are_wanted_soon_and_groups_for_throughput(gateway):
    """Maps fill an engine up to the bound for throughput, the reduce call wants it nearly empty."""
    system = gateway([map_reduce("a", 4), map_reduce("b", 4)], Parrot(latency_bound=2, throughput_bound=6))
    assert len(system.arrive_all()) == 6
    for number in range(4):
        sent = system.finish(f"a/m{number}", 1.0)[0]
    assert sent == []
    assert [system.finish(f"b/m{number}", 2.0)[0] for number in range(3)] == [[], [], ["a/r"]]


def test_a_bulk_client_wants_throughput_of_its_results_too(gateway, single):
    sent = {}
    for bulk in ((), ("x",)):
        system = gateway([single(f"x{n}") for n in range(6)], Parrot(2, 5, bulk))
        sent[bulk] = len(system.arrive_all())
    assert sent == {(): 2, ("x",): 5}


def test_calls_for_latency_and_for_throughput_keep_apart(gateway, single):
    apps = [single("x0", prompt=100), map_reduce("mr", 2), single("x1", prompt=300)]
    system = gateway(apps, Parrot(), num_engines=2)
    system.arrive_all()
    assert [system.engine_of(name) for name in ("x0/c", "mr/m0", "mr/m1", "x1/c")] == [0, 1, 1, 0]


def test_a_call_follows_its_prompt_rather_than_the_smaller_load(gateway, single):
    apps = [sharing("x", 0, own=300), single("a", prompt=10), sharing("x", 1)]
    system = gateway(apps, Parrot(), num_engines=2)
    system.arrive_all()
    assert engines_of(system) == [0, 1, 0]


def test_an_older_application_goes_first_and_its_calls_by_depth(gateway, single):
    system = gateway([map_reduce("b", arrival=2.0), map_reduce("a", arrival=1.0)], Parrot())
    ranks = {name: system.policy.rank(call, 9.0) for name, call in system.calls.items()}
    assert sorted(ranks, key=ranks.get) == ["a/m0", "a/m1", "a/m2", "a/r", "b/m0", "b/m1", "b/m2", "b/r"]


def test_calls_at_an_engine_that_is_lost_stop_counting_there(gateway, single):
    """Both calls for latency are sent again to the engine that is left, which then has no room for a third."""
    apps = [single("x0"), single("x1"), single("x2")]
    system = gateway(apps, Parrot(2, 2), num_engines=2)
    system.arrive("x0", 0.0)
    system.arrive("x1", 0.0)
    system.coordinator.engine_lost(0, 1.0, {})
    assert [system.engine_of(name) for name in ("x0/c", "x1/c")] == [1, 1]
    assert system.arrive("x2", 2.0)[0] == []
    assert system.finish("x0/c", 3.0)[0] == ["x2/c"]


@pytest.mark.parametrize("bounds", [(0, 4), (5, 4)])
def test_bounds_in_the_wrong_order_are_refused(bounds):
    with pytest.raises(ValueError, match="must be positive and at most throughput_bound=4"):
        Parrot(*bounds)


# -- prefix affinity guarded by tokens --------------------------------------------------------------------------------


@pytest.mark.parametrize(("max_imbalance", "num_herded"), [(0, 1), (1, 1), (2, 2), (4, 4)])
def test_a_hit_is_taken_while_it_saves_its_share_of_what_it_waits_behind(gateway, max_imbalance, num_herded):
    """Calls of 72 tokens of which 64 can be cached: so many are at engine 0 before another is worth computing anew."""
    system = gateway([sharing("x", n) for n in range(6)], PrefixAffinity(max_imbalance, "tokens"), num_engines=2)
    system.arrive_all()
    assert engines_of(system)[: num_herded + 1] == [0] * num_herded + [1]


def test_a_short_prefix_is_not_worth_a_long_prompt_s_wait(gateway):
    """Both guards allow 4; only one of them sees that 64 cached tokens are little against 936 others."""
    used = {}
    for guard in ("calls", "tokens"):
        system = gateway([sharing("x", n, own=936) for n in range(4)], PrefixAffinity(4, guard), num_engines=4)
        system.arrive_all()
        used[guard] = sorted(set(engines_of(system)))
    assert used == {"calls": [0], "tokens": [0, 1, 2, 3]}
