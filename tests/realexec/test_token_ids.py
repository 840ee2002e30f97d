"""Prompt token ids: equal where the simulator believes prompts are equal, and different where it does not."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realexec.token_ids import TokenIds
from traces.prefix import content_keys
from traces.workload import Call, output_of, text

NAMES = st.text(max_size=8)
COUNTS = st.integers(1, 40)
#: Few names and counts, so that prompts often begin alike.
TEXTS = st.builds(text, st.sampled_from(["a", "b", "1", "10/a"]), st.sampled_from([1, 16, 20]))
PARTS = TEXTS | st.sampled_from([output_of("x"), output_of("y")])
OUTPUTS = {name: TokenIds(seed=99).of_text(name, 20) for name in "xy"}


def common_length(first, second):
    """Leading elements that two lists share."""
    return next(
        (index for index, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]),
        min(len(first), len(second)),
    )


@given(NAMES, COUNTS, st.integers(2, 200_000), st.integers(0, 300))
def test_ids_stay_within_the_vocabulary_and_off_the_reserved_ones(name, count, num_usable, num_reserved):
    ids = TokenIds(num_usable + num_reserved, num_reserved).of_text(name, count)
    assert len(ids) == count
    assert all(type(each) is int and num_reserved <= each < num_usable + num_reserved for each in ids)


@given(st.lists(PARTS, min_size=1, max_size=5), st.lists(PARTS, min_size=1, max_size=5))
def test_two_prompts_share_the_tokens_that_the_simulator_says_they_share(first, second):
    """Whole blocks of 16: a block of different texts is equal once in 31,000^16 times."""
    calls = [Call("c", tuple(parts), 5) for parts in (first, second)]
    keys = [content_keys("app", call, {"x": 20, "y": 20}) for call in calls]
    num_shared = sum(tokens for _, _, tokens in keys[0][: common_length(*keys)])
    ids = [TokenIds().of_prompt(call, OUTPUTS) for call in calls]
    assert common_length(*ids) // 16 == num_shared // 16


@given(st.text(min_size=1), COUNTS, COUNTS)
def test_the_same_name_with_another_count_is_another_text(name, first, second):
    ids = [TokenIds(vocab_size=2**31).of_text(name, count) for count in (first, second)]
    assert (ids[0][0] == ids[1][0]) == (first == second)


def test_another_seed_gives_other_texts():
    assert TokenIds(seed=1).of_text("a", 16) != TokenIds(seed=2).of_text("a", 16)


def test_ids_are_the_same_in_another_process_and_as_documented():
    """The words of SHAKE-128 over "0/4/instruction", modulo 31,000, plus 1,000."""
    script = (
        "import hashlib; digest = hashlib.shake_128(b'0/4/instruction').digest(16); "
        "print([int.from_bytes(digest[i:i+4], 'little') % 31000 + 1000 for i in (0, 4, 8, 12)])"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert str(TokenIds().of_text("instruction", 4)) == printed.strip()


def test_a_prompt_holds_outputs_where_they_stand():
    call = Call("c", (text("a", 2), output_of("x"), text("b", 3)), 5)
    ids = TokenIds()
    assert ids.of_prompt(call, {"x": [7, 8]}) == [*ids.of_text("a", 2), 7, 8, *ids.of_text("b", 3)]


@pytest.mark.parametrize("fields", [{"vocab_size": 1001}, {"num_reserved": -1}, {"seed": -1}, {"vocab_size": 2**40}])
def test_impossible_vocabularies_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        TokenIds(**fields)
