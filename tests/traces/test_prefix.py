"""Shared prefixes: the radix tree against comparing contents token by token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.prefix import prefix_paths
from traces.workload import Application, Call, Workload, output_of, text


def paths_of(*prompts):
    calls = tuple(Call(str(number), tuple(prompt), 5) for number, prompt in enumerate(prompts))
    return prefix_paths(Workload("w", (Application("a", 0.0, calls),)))


def spans(path):
    return [(node.start, node.end) for node in path]


def test_calls_share_their_common_leading_segments_and_no_more():
    first, second = paths_of([text("s", 10), text("t", 5), text("x", 3)], [text("s", 10), text("t", 5), text("y", 3)])
    assert spans(first) == [(0, 15)]
    assert first == second


def test_a_third_call_that_leaves_earlier_splits_the_stretch():
    s, t = text("s", 10), text("t", 5)
    first, _, third = paths_of([s, t], [s, t], [s, text("z", 5)])
    assert spans(first) == [(0, 10), (10, 15)]
    assert spans(third) == [(0, 10)]
    assert first[0] is third[0]


def test_a_call_that_shares_nothing_has_an_empty_path():
    assert paths_of([text("x", 10)], [text("y", 10)]) == [(), ()]


def test_text_of_one_name_and_two_lengths_is_two_texts():
    assert paths_of([text("s", 10)], [text("s", 11)]) == [(), ()]


def test_an_equal_segment_behind_a_different_one_is_not_shared():
    assert paths_of([text("x", 1), text("s", 10)], [text("y", 1), text("s", 10)]) == [(), ()]


def test_the_next_turn_of_a_chat_shares_the_prompt_and_the_answer_before():
    """The first turn's own content is its prompt of 10 and its answer of 5."""
    first = Call("1", (text("s", 10),), 5)
    second = Call("2", (text("s", 10), output_of("1"), text("more", 3)), 5, deps=("1",))
    paths = prefix_paths(Workload("w", (Application("a", 0.0, (first, second)),)))
    assert [spans(path) for path in paths] == [[(0, 15)], [(0, 15)]]


def test_an_output_that_is_used_elsewhere_than_after_its_prompt_is_shared_among_its_users():
    producer = Call("p", (text("x", 10),), 6)
    readers = tuple(Call(name, (output_of("p"), text(name, 4)), 5, deps=("p",)) for name in ("q", "r"))
    own, *others = prefix_paths(Workload("w", (Application("a", 0.0, (producer, *readers)),)))
    assert own == ()
    assert [spans(path) for path in others] == [[(0, 6)], [(0, 6)]]


def test_outputs_of_equal_calls_in_two_applications_are_different_content():
    calls = (Call("p", (text("s", 8),), 6), Call("q", (text("s", 8), output_of("p"), text("t", 2)), 5, deps=("p",)))
    workload = Workload("w", (Application("a", 0.0, calls), Application("b", 0.0, calls)))
    assert [path[-1].end for path in prefix_paths(workload)] == [14, 14, 14, 14]
    assert len({path[-1] for path in prefix_paths(workload)}) == 2


SEGMENTS = st.builds(text, st.sampled_from("abc"), st.sampled_from((1, 4)))


@given(st.lists(st.lists(SEGMENTS, min_size=1, max_size=5), min_size=2, max_size=8))
def test_two_paths_have_as_much_in_common_as_the_two_contents(prompts):
    paths = paths_of(*prompts)
    contents = [[(part.segment, part.tokens, k) for part in prompt for k in range(part.tokens)] for prompt in prompts]
    for i in range(len(paths)):
        for j in range(i):
            pairs = zip(contents[i], contents[j], strict=False)
            same = next((n for n, (x, y) in enumerate(pairs) if x != y), min(map(len, (contents[i], contents[j]))))
            nodes = [x for x, y in zip(paths[i], paths[j], strict=False) if x is y]
            assert (nodes[-1].end if nodes else 0) == same


@given(st.lists(st.lists(SEGMENTS, min_size=1, max_size=5), min_size=1, max_size=8))
def test_the_stretches_of_a_path_begin_at_the_first_token_and_touch(prompts):
    for path in paths_of(*prompts):
        ends = [0, *(node.end for node in path)]
        assert [node.start for node in path] == ends[:-1]
        assert ends == sorted(set(ends))


def test_paths_come_in_workload_order():
    shared = [text("s", 10)]
    assert [bool(path) for path in paths_of(shared, [text("x", 1)], shared)] == [True, False, True]


@pytest.mark.parametrize("num_calls", [2, 50])
def test_identical_prompts_share_all_their_tokens(num_calls):
    paths = paths_of(*[[text("s", 7), text("t", 9)]] * num_calls)
    assert {path[-1].end for path in paths} == {16}
    assert len(set(paths)) == 1
