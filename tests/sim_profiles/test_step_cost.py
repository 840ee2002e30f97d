"""The step cost of every shipped profile keeps the promises that engines build on."""

import itertools
import timeit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.profile import list_profiles, load_profile, step_cost_of
from sim.step_cost import NO_LAUNCH, Curve, Launch, ProfiledStepCost, StepTerms

COSTS = {
    (name, is_async): load_profile(name).step_cost(async_scheduling=is_async)
    for name, is_async in itertools.product(list_profiles(), (True, False))
}
costs = st.sampled_from(sorted(COSTS)).map(COSTS.__getitem__)
decodes = st.integers(0, 5000)
contexts = st.integers(0, 10**6)
chunks = st.lists(st.tuples(st.integers(1, 4096), st.integers(0, 4096)), min_size=1, max_size=5)


@given(cost=costs, num_decodes=decodes, context=contexts)
def test_a_decode_run_starts_with_exactly_the_cost_of_its_first_step(cost, num_decodes, context):
    assert cost.decode_run(num_decodes, context)[0] == cost.step(num_decodes, context, ())


@given(cost=costs, num_decodes=decodes, context=contexts, num_steps=st.integers(1, 4096))
def test_decode_steps_grow_by_the_same_amount_each(cost, num_decodes, context, num_steps):
    first, growth = cost.decode_run(num_decodes, context)
    later = cost.step(num_decodes, context + num_steps * num_decodes, ())
    assert later == pytest.approx(first + num_steps * growth, rel=1e-12)


@given(cost=costs, num_decodes=decodes, context=contexts, prefills=chunks)
def test_a_step_with_prefill_never_costs_less_than_its_decodes_alone(cost, num_decodes, context, prefills):
    assert 0 <= cost.step(num_decodes, context, ()) <= cost.step(num_decodes, context, prefills)


@given(cost=costs, new=st.integers(1, 8192), more=st.integers(1, 512), computed=st.integers(0, 4096))
def test_a_longer_chunk_and_a_longer_context_never_cost_less(cost, new, more, computed):
    seconds = cost.step(0, 0, [(new, computed)])
    assert 0 < seconds <= cost.step(0, 0, [(new + more, computed)])
    assert seconds <= cost.step(0, 0, [(new, computed + more)])


@given(cost=costs, num_decodes=st.integers(1, 256), context=st.integers(64, 4096))
def test_one_more_call_of_the_same_context_never_makes_a_step_shorter(cost, num_decodes, context):
    more = num_decodes + 1
    assert cost.step(num_decodes, num_decodes * context, ()) <= cost.step(more, more * context, ())


def test_a_step_without_work_costs_nothing():
    for cost in COSTS.values():
        assert cost.step(0, 0, ()) == 0.0
        assert cost.decode_run(0, 0) == (0.0, 0.0)


@pytest.mark.parametrize("name", list_profiles())
def test_synchronous_steps_are_never_shorter_than_asynchronous_ones(name):
    for num_decodes in (1, 8, 64):
        step = (num_decodes, 500 * num_decodes, ())
        assert COSTS[name, False].step(*step) >= COSTS[name, True].step(*step)


def test_the_terms_of_a_mixed_step_add_up():
    terms = StepTerms(
        dense=Curve((1, 101), (0.010, 0.020)),
        decode_batch=Curve((1, 11), (0.0, 0.001)),
        decode_context=Curve((1,), (1e-6,)),
        all_reduce=Curve((0,), (0.002,)),
        seconds_per_attention_pair=1e-6,
        seconds_per_prefill_token=1e-5,
        seconds_per_prefill=1e-3,
        seconds_per_step=5e-4,
    )
    # 11 decodes and 40 new tokens on 60 computed: 51 tokens; 40 * 60 + 40 * 41 / 2 = 3220 query-key pairs.
    expected = 0.0005 + 0.015 + 0.002 + 0.001 + 900e-6 + 0.001 + 40e-5 + 3220e-6
    assert ProfiledStepCost(terms).step(11, 900, [(40, 60)]) == pytest.approx(expected, rel=1e-12)


def test_a_short_chunk_on_a_long_context_is_bound_by_reading_the_cache():
    terms = StepTerms(dense=Curve((1,), (0.01,)), decode_context=Curve((1,), (1e-6,)), seconds_per_attention_pair=1e-9)
    assert ProfiledStepCost(terms).step(0, 0, [(1, 9999)]) == pytest.approx(0.01 + 0.01)


def test_counts_beyond_the_first_table_continue_the_last_slope():
    cost = ProfiledStepCost(StepTerms(dense=Curve((1, 2), (1.0, 2.0))))
    assert cost.step(0, 0, [(50_000, 0)]) == pytest.approx(50_000)
    assert cost.decode_run(200_000, 0)[0] == pytest.approx(200_000)


@pytest.mark.parametrize(
    ("counts", "seconds", "rule"),
    [
        ((), (), "at least one"),
        ((1, 2), (1.0,), "at least one"),
        ((2, 1), (1.0, 2.0), "strictly increasing"),
        ((-1, 1), (1.0, 2.0), "non-negative"),
        ((1, 2), (1.0, -2.0), "non-negative"),
        ((1, 2), (1.0, float("nan")), "finite"),
    ],
)
def test_a_curve_refuses_bad_knots(counts, seconds, rule):
    with pytest.raises(ValueError, match=rule):
        Curve(counts, seconds)


def test_looking_up_a_step_is_fast_enough_for_the_simulator():
    """Budget: 0.4 microseconds a decode run, 1.5 a prefill step; five times that here, for a loaded machine."""
    cost = COSTS["h100-llama-13b", True]
    chunk = [(512, 0)]
    decode = min(timeit.repeat(lambda: cost.decode_run(17, 30_000), number=2000, repeat=5)) / 2000
    prefill = min(timeit.repeat(lambda: cost.step(17, 30_000, chunk), number=2000, repeat=5)) / 2000
    assert decode < 5 * 0.4e-6
    assert prefill < 5 * 1.5e-6


def test_a_step_with_prefills_costs_its_fixed_part_once_and_a_decode_step_none():
    plain, mixed = (
        ProfiledStepCost(StepTerms(dense=Curve((1, 100), (0.01, 0.02)), seconds_per_mixed_step=fixed))
        for fixed in (0.0, 0.001)
    )
    chunks = [(10, 0), (10, 0)]
    assert mixed.step(4, 400, chunks) == pytest.approx(plain.step(4, 400, chunks) + 0.001)
    assert mixed.step(4, 400, ()) == plain.step(4, 400, ())


def test_calls_that_decode_beside_prefills_may_cost_more_than_others():
    plain, dearer = (ProfiledStepCost(StepTerms(Curve(), seconds_per_mixed_decode=each)) for each in (0.0, 0.001))
    assert dearer.step(4, 400, [(10, 0)]) == pytest.approx(plain.step(4, 400, [(10, 0)]) + 0.004)
    assert dearer.step(4, 400, ()) == plain.step(4, 400, ())


def test_host_time_of_steps_with_prefills_counts_with_synchronous_scheduling_alone():
    names = ("mixed_step", "mixed_decode", "prefill", "prefill_token")
    terms = load_profile("a100-llama-13b").terms
    added = msgspec.structs.replace(terms, **{f"synchronous_seconds_per_{name}": 0.001 for name in names})
    step = (5, 500, [(20, 0), (20, 0)])
    for is_async, extra in ((True, 0.0), (False, 0.001 * (1 + 5 + 2 + 40))):
        before, after = (step_cost_of(each, is_async).step(*step) for each in (terms, added))
        assert after == pytest.approx(before + extra)


def test_only_steps_beyond_the_largest_graph_of_asynchronous_scheduling_wait_for_their_launch():
    terms = load_profile("a100-llama-13b").terms
    launched = msgspec.structs.replace(terms, num_graph_tokens=50, launch_seconds=0.03)
    assert [step_cost_of(launched, True).launch(0, num_tokens).seconds for num_tokens in (50, 51)] == [0.0, 0.03]
    assert step_cost_of(launched, False).launch(0, 51) == NO_LAUNCH  # there it is part of the host time that is fitted
    assert step_cost_of(terms, True).launch(0, 51) == NO_LAUNCH


def test_launches_that_were_measured_hold_up_the_core_and_grow_with_the_decoding_calls():
    terms = msgspec.structs.replace(
        load_profile("a100-llama-13b").terms,
        num_graph_tokens=50,
        launch_seconds=0.03,
        graph_launch_seconds=0.01,
        launch_seconds_per_decode=1e-5,
        seconds_after_launch=0.002,
        launch_holds_core=True,
    )
    cost = step_cost_of(terms, True)
    assert cost.launch(0, 50) == Launch(0.01, 0.002, True)
    assert cost.launch(20, 51) == pytest.approx((0.0302, 0.0022, True))
