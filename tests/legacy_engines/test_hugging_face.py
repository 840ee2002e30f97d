"""Hugging Face behind FastChat: one call at a time."""

import pytest

from sim.hugging_face import OneAtATime


def test_a_call_is_a_prefill_that_brings_the_first_token_and_a_step_for_each_other(bench, decoding):
    bench.use(OneAtATime, 4096).send("a", 100, 3).run()
    prefill = 0.010 + 100 * 0.0001
    assert bench.requests["a"].first_token_at == pytest.approx(prefill)
    assert bench.finished["a"] == pytest.approx(prefill + decoding([101, 102]))
    assert bench.steps() == [(1, 0, 1, 100, 0), (2, 1, 0, 0, 0)]


def test_a_call_of_one_token_ends_with_its_prefill(bench):
    bench.use(OneAtATime, 4096).send("a", 100, 1).run()
    assert bench.finished["a"] == pytest.approx(0.020)


def test_the_second_call_starts_when_the_first_has_its_whole_answer(bench):
    bench.use(OneAtATime, 4096).send("a", 100, 5).send("b", 50, 5, at=0.001).run()
    assert bench.requests["b"].scheduled_at == bench.finished["a"]


def test_an_idle_worker_waits_for_the_next_call(bench):
    bench.use(OneAtATime, 4096).send("a", 100, 1).send("b", 100, 1, at=5.0).run()
    assert bench.finished["b"] == pytest.approx(5.020)


def test_a_call_longer_than_the_model_is_refused_by_name(bench):
    bench.use(OneAtATime, 64).send("a", 60, 5)
    with pytest.raises(ValueError, match=r"65 prompt and output tokens exceed max_model_len=64 \(engine 0\)"):
        bench.run()


def test_a_worker_without_a_context_is_refused():
    with pytest.raises(ValueError, match="max_model_len=0"):
        OneAtATime(0)
