"""Calls that share cached tokens: who counts them, and what they save."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.sharing import SharedTokens
from sim.step_cost import (
    UNSHARED,
    Curve,
    ProfiledStepCost,
    Sharing,
    StepTerms,
    distinct_prefixes,
    hit_share,
    padded_counts,
)
from tests.calibration.conftest import plain_profile

TERMS = StepTerms(
    dense=Curve((1, 100), (0.01, 0.02)),
    decode_context=Curve((1, 8), (4e-7, 2e-7)),
    repeated_context=Curve((2, 16), (3e-7, 5e-8)),
    num_resident_tokens=1000,
    num_parallel_calls=4,
)
COST = ProfiledStepCost(TERMS)
#: Calls as the blocks that they hold, from the first one on.
batches = st.lists(st.lists(st.integers(0, 30), unique=True, max_size=12), max_size=8)


def one_prefix(num_calls, num_tokens):
    """Of calls that all hold the same tokens."""
    return Sharing((num_calls - 1) * num_tokens, num_tokens, num_tokens * num_calls * (num_calls - 1) / 2)


def counted(batch):
    """What calls share, 16 tokens a block, counted one by one."""
    holders = {block: sum(block in held for held in batch) for held in batch for block in held}
    shared = [count for count in holders.values() if count > 1]
    num_pairs = sum(count * (count - 1) / 2 for count in shared)
    return 16 * sum(count - 1 for count in shared), 16 * len(shared), 16 * num_pairs


@given(joining=batches, leaving=st.integers(0, 8))
def test_shared_tokens_are_those_of_blocks_with_several_holders(joining, leaving):
    tokens = SharedTokens()
    for held in joining:
        tokens.join((block, 16) for block in held)
    for held in joining[:leaving]:
        tokens.leave((block, 16) for block in held)
    assert tokens.sharing == counted(joining[leaving:])


@given(num_decodes=st.integers(2, 64), shared=st.integers(1, 200), own=st.integers(1, 500))
def test_sharing_never_costs_and_never_saves_more_than_the_repeated_reads(num_decodes, shared, own):
    context, sharing = num_decodes * (16 * shared + own), one_prefix(num_decodes, 16 * shared)
    alone, together = COST.step(num_decodes, context, ()), COST.step(num_decodes, context, (), sharing)
    assert together <= alone
    assert together >= COST.step(num_decodes, context - sharing.num_repeated_tokens, ()) - 1e-12


@given(num_decodes=st.integers(2, 64), shared=st.integers(1, 200), num_steps=st.integers(1, 2000))
def test_steps_of_calls_that_share_grow_by_the_same_amount_each(num_decodes, shared, num_steps):
    sharing = one_prefix(num_decodes, 16 * shared)
    first, growth = COST.decode_run(num_decodes, 10**6, sharing)
    later = COST.step(num_decodes, 10**6 + num_steps * num_decodes, (), sharing)
    assert later == pytest.approx(first + num_steps * growth, rel=1e-12)
    assert COST.step(num_decodes, 10**6, (), sharing) == first


def test_what_sharing_saves_is_the_difference_of_the_two_costs_of_reading():
    # 16 calls, 800 tokens shared: 12,000 reads at 5e-8 instead of 2e-7.
    saved = COST.step(16, 20_000, ()) - COST.step(16, 20_000, (), one_prefix(16, 800))
    assert saved == pytest.approx(12_000 * (2e-7 - 5e-8))


def test_one_prefix_is_read_again_as_cheaply_however_long_it_is():
    saved = COST.step(16, 40_000, ()) - COST.step(16, 40_000, (), one_prefix(16, 2_000))
    assert saved == pytest.approx(30_000 * (2e-7 - 5e-8))


@pytest.mark.parametrize(
    ("num_distinct", "share"), [(500, 1.0), (1_000, 1.0), (1_500, 0.5), (2_000, 0.0), (9_000, 0.0)]
)
def test_tokens_that_the_cache_does_not_hold_are_read_anew(num_distinct, share):
    """What calls share with calls far away in the batch, so that none is read together."""
    sharing = Sharing(30_000, num_distinct, 0)
    assert hit_share(sharing, 1000, 1000, 4) == pytest.approx(share)
    assert hit_share(sharing, 1000, 1000, 0) == pytest.approx(share)
    assert hit_share(sharing, 1000, 0, 4) == 1.0


@pytest.mark.parametrize("sizes", [(40, 40), (20, 20, 20, 20), (60, 20), (30, 10, 40)])
@pytest.mark.parametrize("width", [2, 4, 7])
def test_calls_next_to_each_other_read_a_prefix_together(sizes, width):
    """As drawn: of neighbours in random order, those that find their prefix among the ones before them."""
    num_decodes, tokens = 80, 10**4
    repeated = tokens * sum(size - 1 for size in sizes)
    sharing = Sharing(repeated, tokens * len(sizes), tokens * sum(size * (size - 1) / 2 for size in sizes))
    batch = np.repeat(np.arange(num_decodes), [*sizes, *(1 for _ in range(num_decodes - len(sizes)))])[:num_decodes]
    rng = np.random.default_rng(0)
    read = [len(set(rng.choice(batch, width, replace=False).tolist())) for _ in range(20_000)]
    drawn = (width - np.mean(read)) / (width - 1)
    # Equal groups as drawn; of unequal ones the formula knows the mean only.
    assert hit_share(sharing, num_decodes, 1000, width) == pytest.approx(
        drawn, abs=0.01 if len({*sizes}) == 1 else 0.05
    )


def test_prefixes_among_calls_lie_between_one_and_one_a_call():
    assert distinct_prefixes(1.0, 5) == 1.0
    assert distinct_prefixes(0.0, 5) == 5.0
    assert distinct_prefixes(1e-9, 5) == pytest.approx(5.0, abs=1e-6)
    assert distinct_prefixes(0.5, 2) == pytest.approx(1.5)


def test_calls_that_all_run_at_the_same_time_read_everything_together():
    sharing = Sharing(2 * 5_000, 2 * 5_000, 2 * 5_000)
    assert hit_share(sharing, 4, 1000, 4) == 1.0
    assert hit_share(sharing, 5, 1000, 4) < 1.0


def test_a_short_prefix_of_all_calls_does_not_make_what_follows_one_prefix():
    """Of 40 calls all hold 16 tokens, and ten each the same 2000 behind them."""
    behind = Sharing(36 * 2000, 4 * 2000, 2000 * 4 * 45)
    common = one_prefix(40, 16)
    both = Sharing(*(one + other for one, other in zip(behind, common, strict=True)))
    alone, together = (hit_share(each, 40, 1000, 4) for each in (behind, both))
    assert alone < together < alone + 0.02


def test_calls_behind_no_prefix_in_between_do_not_make_one_prefix_cheaper():
    sharing = one_prefix(20, 5_000)
    alone, among_others = (hit_share(sharing, num_decodes, 1000, 4) for num_decodes in (20, 60))
    assert alone == pytest.approx(1.0)
    assert among_others == pytest.approx((4 - (1 - (40 / 59) ** 4) / (19 / 59)) / 3)  # 19 of 59 others share


def test_a_prefill_beside_calls_that_share_costs_what_it_costs_beside_others():
    sharing = one_prefix(16, 800)
    with_prefill = COST.step(16, 20_000, [(50, 0)]) - COST.step(16, 20_000, [(50, 0)], sharing)
    assert with_prefill == pytest.approx(COST.step(16, 20_000, ()) - COST.step(16, 20_000, (), sharing))


def test_profiles_without_the_term_charge_shared_tokens_like_others():
    cost = plain_profile().step_cost(async_scheduling=True)
    assert cost.step(16, 20_000, (), one_prefix(16, 800)) == cost.step(16, 20_000, (), UNSHARED)


def test_a_step_is_padded_to_the_next_captured_size():
    assert padded_counts((1, 2, 4, 8), 12) == [1, 1, 2, 4, 4, 8, 8, 8, 8, 9, 10, 11]
    assert padded_counts((), 3) == [0, 1, 2]
    padded = ProfiledStepCost(StepTerms(dense=TERMS.dense, capture_sizes=(4, 8)))
    assert padded.step(5, 0, ()) == padded.step(8, 0, ()) > padded.step(4, 0, ())
