"""Block ids to segments: prompts share exactly what their ids share, against a direct reading of the ids."""

from collections.abc import Sequence
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.importers.blocks import num_common, segments_of_blocks
from traces.workload import Segment

BLOCK = 4


def tokens_of(ids: list[int], length: int, owner: int) -> list[object]:
    """One value a token, equal where the ids say that the text is: (all ids so far, offset in the block)."""
    known = [(tuple(ids[: i // BLOCK + 1]), i % BLOCK) for i in range(min(length, len(ids) * BLOCK))]
    return [*known, *((owner, i) for i in range(len(known), length))]


def common(first: Sequence[object], second: Sequence[object]) -> int:
    """Number of equal leading items, one by one."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def shared_segment_tokens(first: tuple[Segment, ...], second: tuple[Segment, ...]) -> int:
    return sum(part.tokens or 0 for part in first[: common(first, second)])


@st.composite
def prompts(draw: st.DrawFn) -> tuple[list[int], int]:
    """A few ids from a small alphabet, so that prompts share beginnings, and a length that may end anywhere."""
    ids = draw(st.lists(st.integers(0, 2), max_size=5))
    return ids, draw(st.integers(max(1, (len(ids) - 1) * BLOCK + 1), len(ids) * BLOCK + 3))


@given(st.lists(prompts(), min_size=1, max_size=12))
def test_any_two_prompts_share_as_many_leading_tokens_as_their_ids_say(pairs):
    segments = segments_of_blocks([ids for ids, _ in pairs], [length for _, length in pairs], BLOCK, "b")

    tokens = [tokens_of(ids, length, owner) for owner, (ids, length) in enumerate(pairs)]
    for i in range(len(pairs)):
        assert sum(part.tokens or 0 for part in segments[i]) == pairs[i][1]
        for j in range(i):
            assert shared_segment_tokens(segments[i], segments[j]) == common(tokens[i], tokens[j])


@given(st.lists(prompts(), min_size=1, max_size=12))
def test_one_segment_name_always_has_one_length(pairs):
    prompts = segments_of_blocks([ids for ids, _ in pairs], [length for _, length in pairs], BLOCK, "b")

    lengths: dict[str | None, set[int | None]] = {}
    for part in (part for prompt in prompts for part in prompt):
        lengths.setdefault(part.segment, set()).add(part.tokens)
    assert all(len(found) == 1 for found in lengths.values())


def test_a_run_of_blocks_that_nobody_leaves_is_one_segment():
    prompts = segments_of_blocks([list(range(1000)), list(range(1000))], [4000, 4000], BLOCK, "b")

    assert [len(prompt) for prompt in prompts] == [1, 1]
    assert prompts[0] == prompts[1]


def test_a_growing_history_adds_one_segment_a_turn():
    histories = [list(range(turn * 10)) for turn in range(1, 6)]

    prompts = segments_of_blocks(histories, [len(ids) * BLOCK for ids in histories], BLOCK, "b")

    assert [len(prompt) for prompt in prompts] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("first", "second"), [([], []), ([1, 2], [1, 2]), ([1, 2, 3], [1, 2]), ([5], [6]), ([], [1])])
def test_number_of_common_leading_ids(first, second):
    assert num_common(first, second) == common(first, second)
