"""Integers that stand for ranks: same order, same ties, within 64 bits."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.interface import PolicyError
from realexec.order_labels import OrderLabels

RANKS = st.lists(st.tuples(st.integers(-3, 3), st.floats(-10.0, 10.0)), max_size=60)


def labelled(ranks):
    """Label of every rank, asked for in this order, and how many had to be shared."""
    labels = OrderLabels()
    return [labels.label(rank) for rank in ranks], labels.num_shared


def in_same_order(ranks, labels):
    """Whether labels compare as their ranks do, ties included; judged between neighbours in rank order."""
    pairs = sorted(zip(ranks, labels, strict=True))
    return all((a[0] < b[0]) == (a[1] < b[1]) and a[1] <= b[1] for a, b in pairwise(pairs))


@given(RANKS)
def test_labels_keep_order_and_ties_of_ranks_in_whatever_order_they_come(ranks):
    labels, num_shared = labelled(ranks)
    assert in_same_order(ranks, labels)
    assert num_shared == 0


def test_a_label_never_changes():
    labels = OrderLabels()
    before = [labels.label(rank) for rank in range(0, 100, 2)]
    assert [labels.label(rank) for rank in range(99)][::2] == before


def test_stages_that_fill_in_turn_get_labels_of_their_own():
    """Stage first, then arrival, as stage-priority ranks: every new rank falls between the same two stages."""
    ranks = [(stage, float(arrival)) for arrival in range(5_000) for stage in (3, 1, 2)]
    labels, num_shared = labelled(ranks)
    assert in_same_order(ranks, labels)
    assert num_shared == 0


def test_ranks_in_random_order_get_labels_of_their_own():
    ranks = np.random.default_rng(0).random(20_000).tolist()
    labels, num_shared = labelled(ranks)
    assert in_same_order(ranks, labels)
    assert num_shared == 0


@pytest.mark.parametrize("ranks", [range(20_000), range(20_000, 0, -1), [0, 10**9, *range(20_000, 1, -1)]])
def test_long_runs_of_rising_or_falling_ranks_get_labels_of_their_own(ranks):
    labels, num_shared = labelled(ranks)
    assert in_same_order(list(ranks), labels)
    assert num_shared == 0


def test_when_a_gap_is_full_ranks_share_the_label_below_and_are_counted():
    """Closing in on a number from both sides in turn halves the gap each time, until it holds no integer."""
    ranks = [side * (100 - step) for step in range(100) for side in (-1, 1)]
    labels, num_shared = labelled(ranks)
    assert num_shared > 0
    ordered = [label for _, label in sorted(zip(ranks, labels, strict=True))]
    assert ordered == sorted(ordered)
    assert len(set(ordered)) == len(ordered) - num_shared


@given(st.lists(st.integers(), max_size=30))
def test_labels_fit_the_64_bits_of_msgpack(ranks):
    labels, _ = labelled(ranks)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(labels)) == labels


def test_ranks_that_do_not_compare_are_the_policy_s_mistake():
    labels = OrderLabels()
    labels.label(1.0)
    with pytest.raises(PolicyError, match=r"rank \('a',\) does not compare"):
        labels.label(("a",))
