"""The set of decoding requests agrees with a plain list of them, at the cost of a few counters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.decode_set import DecodeSet
from sim.request import State

BLOCK = 4


@pytest.fixture
def members(new_request):
    """A set with requests of 4, 5 and 7 computed tokens that decode 3, 1 and 9 more."""
    decodes, requests = DecodeSet(BLOCK), []
    for name, num_computed, num_left in (("a", 4, 3), ("b", 5, 1), ("c", 7, 9)):
        requests.append(new_request(name, num_computed))
        decodes.join(requests[-1], num_computed, num_left)
    return decodes, requests


def test_context_is_what_each_request_attends_to_its_new_token_included(members):
    decodes, _ = members
    assert decodes.num_context_tokens == 5 + 6 + 8


def test_a_step_needs_a_block_for_each_request_whose_blocks_are_full(members):
    """Only "a" has filled its block of four."""
    decodes, (a, b, c) = members
    assert decodes.block_demand() == 1
    assert [decodes.needs_block(each) for each in (a, b, c)] == [True, False, False]


def test_a_request_that_had_its_last_token_leaves(members):
    decodes, (a, b, _) = members
    assert decodes.steps_to_next_end() == 1
    decodes.advance(1)
    assert decodes.ended == [b]
    assert (b.state, a.state) == (State.LAST, State.DECODE)
    assert (decodes.size, decodes.num_context_tokens) == (2, 6 + 9)


def test_the_next_end_skips_a_request_that_was_taken_out(members):
    decodes, (a, b, _) = members
    decodes.leave(b)
    decodes.leave(a)
    assert decodes.steps_to_next_end() == 9


def test_an_empty_set_has_no_end_and_no_context(members):
    decodes, requests = members
    for each in requests:
        decodes.leave(each)
    assert (decodes.size, decodes.steps_to_next_end(), decodes.num_context_tokens, decodes.block_demand()) == (0,) * 4


def test_the_version_changes_with_the_members_and_with_nothing_else(members):
    decodes, (a, _, _) = members
    version = decodes.version
    decodes.advance(0)
    assert decodes.version == version
    decodes.leave(a)
    assert decodes.version != version


def joined(decodes, new_request, calls):
    """The set with requests of so many tokens computed and left."""
    for number, (num_computed, num_left) in enumerate(calls):
        request = new_request(number, num_computed)
        request.admission = number  # orders requests that end together
        decodes.join(request, num_computed, num_left)
    return decodes


def plain_demand(contexts, step):
    return sum((num_computed + step) % BLOCK == 0 for num_computed in contexts)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=10), st.integers(0, 30), st.integers(1, 40))
def test_safe_steps_are_those_found_by_adding_up_blocks(new_request, contexts, num_free, limit):
    decodes = joined(DecodeSet(BLOCK), new_request, [(num_computed, 100) for num_computed in contexts])
    safe, left = 0, num_free
    while safe < limit and (left := left - plain_demand(contexts, safe)) >= 0:
        safe += 1
    assert decodes.steps_within(num_free, limit) == safe


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 30)), min_size=1, max_size=10), st.data())
def test_many_steps_at_once_take_the_blocks_of_as_many_single_steps(new_request, calls, data):
    num_steps = data.draw(st.integers(1, min(num_left for _, num_left in calls)))
    at_once, one_by_one = (joined(DecodeSet(BLOCK), new_request, calls) for _ in range(2))
    num_blocks = at_once.advance(num_steps)
    assert num_blocks == sum(plain_demand([c for c, _ in calls], step) for step in range(num_steps))
    assert num_blocks == sum(one_by_one.advance(1) for _ in range(num_steps))
    assert (at_once.size, at_once.num_context_tokens) == (one_by_one.size, one_by_one.num_context_tokens)
