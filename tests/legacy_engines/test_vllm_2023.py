"""vLLM of 2023: prefill steps come before decode steps."""

import pytest

from sim.vllm_2023 import Vllm2023Batcher, Vllm2023Settings


def limits(**given):
    return Vllm2023Settings(**{"num_blocks": 1000, "max_num_batched_tokens": 250, **given})


def test_a_prefill_stops_the_decoding_of_others(bench, decoding):
    bench.use(Vllm2023Batcher, limits()).send("a", 100, 3).send("b", 200, 2, at=0.025).run()
    # a: prefill to 20 ms, a decode step of 11.101 ms; b, which came meanwhile, prefills for 30 ms; then both decode.
    alone, prefill, together = decoding([101]), 0.030, decoding([102 + 201], batch=2)
    assert bench.requests["b"].first_token_at == pytest.approx(0.020 + alone + prefill)
    assert bench.finished["a"] == bench.finished["b"] == pytest.approx(0.020 + alone + prefill + together)


def test_prompts_share_a_prefill_up_to_the_token_limit(bench):
    engine = bench.use(Vllm2023Batcher, limits())
    engine.send("a", 100, 1).send("b", 100, 1).send("c", 100, 1).run()
    assert bench.steps() == [(1, 0, 2, 200, 0), (1, 0, 1, 100, 0)]


def test_prompts_are_never_split(bench):
    bench.use(Vllm2023Batcher, limits()).send("a", 251, 1)
    with pytest.raises(ValueError, match="num_prompt_tokens=251 exceeds max_num_batched_tokens=250"):
        bench.run()


def test_no_more_calls_run_than_max_num_seqs(bench):
    bench.use(Vllm2023Batcher, limits(max_num_seqs=1)).send("a", 100, 2).send("b", 100, 2).run()
    assert bench.requests["b"].scheduled_at == bench.finished["a"]


def test_the_call_admitted_last_is_preempted_and_recomputed_when_blocks_run_out(bench):
    # Four blocks of 16, two prompts of 31: no block is free when a wants its next token, so b goes and, one step later,
    # fits again with 32 tokens. At a's 33rd token it goes again, now until a ends: 33 tokens need a third block.
    bench.use(Vllm2023Batcher, limits(num_blocks=4)).send("a", 31, 4).send("b", 31, 4).run()
    assert (bench.requests["a"].num_preemptions, bench.requests["b"].num_preemptions) == (0, 2)
    first_round = [(1, 0, 2, 62, 0), (1, 1, 0, 0, 1), (1, 0, 1, 32, 0)]
    assert bench.steps() == [*first_round, (2, 1, 0, 0, 1), (1, 0, 1, 33, 0), (1, 1, 0, 0, 0)]


def test_admission_leaves_the_watermark_free(bench):
    # 200 blocks: 2 stay free. 100 + 99 blocks would leave one.
    engine = bench.use(Vllm2023Batcher, limits(num_blocks=200, max_num_batched_tokens=4000))
    engine.send("a", 1600, 2).send("b", 1584, 2).run()
    assert bench.requests["b"].scheduled_at == bench.finished["a"]


def test_a_token_capacity_bounds_the_running_calls(bench):
    bench.use(Vllm2023Batcher, limits(max_total_tokens=199)).send("a", 100, 2).send("b", 100, 2).run()
    assert bench.requests["b"].scheduled_at == bench.finished["a"]


def test_a_call_beyond_the_capacity_runs_alone(bench):
    bench.use(Vllm2023Batcher, limits(max_total_tokens=50)).send("a", 100, 2).run()
    assert "a" in bench.finished


def test_a_call_that_can_never_fit_is_refused(bench):
    bench.use(Vllm2023Batcher, limits(num_blocks=4)).send("a", 60, 10)
    with pytest.raises(ValueError, match="70 prompt and output tokens never fit in num_blocks=4"):
        bench.run()


@pytest.mark.parametrize(("name", "value"), [("num_blocks", 0), ("max_num_seqs", 0), ("max_total_tokens", -1)])
def test_limits_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        limits(**{name: value})
