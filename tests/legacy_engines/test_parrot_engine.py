"""Parrot's engine: fills and generations share steps."""

import pytest

from sim.parrot_engine import ParrotBatcher, ParrotSettings
from traces.prefix import PrefixNode


def limits(**given):
    return ParrotSettings(**{"num_blocks": 1000, "max_num_batched_tokens": 500, **given})


def test_a_fill_brings_no_token(bench, decoding):
    bench.use(ParrotBatcher, limits()).send("a", 100, 2).run()
    assert bench.requests["a"].first_token_at == pytest.approx(0.020 + decoding([101]))
    assert bench.finished["a"] == pytest.approx(0.020 + decoding([101, 102]))


def test_a_fill_runs_in_the_same_step_as_the_generation_of_others(bench, decoding):
    bench.use(ParrotBatcher, limits()).send("a", 100, 3).send("b", 200, 1, at=0.025).run()
    mixed = decoding([102]) + 200 * 0.0001
    assert bench.finished["a"] == pytest.approx(0.020 + decoding([101]) + mixed + decoding([103 + 201], batch=2))
    assert bench.steps()[2] == (1, 1, 1, 200, 0)


def test_generating_calls_count_against_the_token_limit_of_a_step(bench):
    engine = bench.use(ParrotBatcher, limits(max_num_batched_tokens=200))
    engine.send("a", 100, 3).send("b", 200, 1, at=0.001).run()
    assert bench.requests["b"].scheduled_at == bench.finished["a"]


def test_no_more_calls_are_admitted_than_max_num_seqs(bench):
    bench.use(ParrotBatcher, limits(max_num_seqs=2))
    for name in "abc":
        bench.send(name, 10, 3)
    bench.run()
    assert bench.requests["c"].scheduled_at == bench.finished["a"]


def test_the_token_capacity_pauses_the_call_of_lower_priority(bench, decoding):
    bench.use(ParrotBatcher, limits(max_total_tokens=150)).send("low", 100, 2, priority=1).send("high", 100, 2).run()
    fill = 0.010 + 200 * 0.0001
    assert bench.finished["high"] == pytest.approx(fill + decoding([101, 102]))
    assert bench.finished["low"] == pytest.approx(fill + decoding([101, 102, 101, 102]))


def test_a_call_is_paused_when_the_growing_contexts_reach_the_capacity(bench):
    # 101 + 101 tokens in the first step, 2 more in each: the fourth would read 208 of 207.
    bench.use(ParrotBatcher, limits(max_total_tokens=207)).send("a", 100, 6).send("b", 100, 6).run()
    assert [row[:2] for row in bench.steps()[1:]] == [(3, 2), (3, 1), (3, 1)]


def test_memory_is_taken_at_admission_and_given_back_at_the_end(bench):
    # 110 tokens are 7 blocks; of 10 blocks only one call fits.
    bench.use(ParrotBatcher, limits(num_blocks=10)).send("a", 100, 10).send("b", 100, 10).run()
    assert bench.requests["b"].scheduled_at == bench.finished["a"]


def test_a_shared_prompt_is_filled_once_in_a_step_of_its_own(bench):
    path = (PrefixNode(0, 80),)
    bench.use(ParrotBatcher, limits(share_prompts=True)).send("a", 100, 1, path=path).send("b", 90, 1, path=path).run()
    assert bench.steps() == [(1, 0, 1, 80, 0), (1, 0, 2, 30, 0), (1, 2, 0, 0, 0)]


def test_without_sharing_each_call_fills_its_whole_prompt(bench):
    path = (PrefixNode(0, 80),)
    bench.use(ParrotBatcher, limits()).send("a", 100, 1, path=path).send("b", 90, 1, path=path).run()
    assert bench.steps()[0] == (1, 0, 2, 190, 0)


@pytest.mark.parametrize(("once", "num_tokens"), [(False, 101 + 91), (True, 101 + 91 - 80)])
def test_a_step_reads_a_shared_prompt_for_each_call_or_once(bench, decoding, once, num_tokens):
    path = (PrefixNode(0, 80),)
    engine = bench.use(ParrotBatcher, limits(share_prompts=True, read_shared_once=once))
    engine.send("a", 100, 1, path=path).send("b", 90, 1, path=path).run()
    assert bench.finished["a"] == pytest.approx(0.018 + 0.013 + decoding([num_tokens], batch=2))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_num_seqs": 0}, "max_num_seqs=0"),
        ({"max_total_tokens": -1}, "max_total_tokens=-1"),
        ({"read_shared_once": True}, "needs share_prompts"),
    ],
)
def test_limits_out_of_range_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        limits(**given)


@pytest.mark.parametrize(
    ("given", "prompt", "message"),
    [
        ({}, 501, "num_prompt_tokens=501 exceeds max_num_batched_tokens=500"),
        ({"num_blocks": 4}, 64, "69 prompt and output tokens never fit in num_blocks=4"),
        ({"max_total_tokens": 50}, 60, "65 prompt and output tokens exceed max_total_tokens=50"),
    ],
)
def test_a_call_that_can_never_run_is_refused(bench, given, prompt, message):
    bench.use(ParrotBatcher, limits(**given)).send("a", prompt, 5)
    with pytest.raises(ValueError, match=message):
        bench.run()
