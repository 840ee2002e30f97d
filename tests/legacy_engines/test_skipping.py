"""Jumping over equal steps changes no record of the older engines."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.hugging_face import OneAtATime
from sim.parrot_engine import ParrotBatcher, ParrotSettings
from sim.vllm_2023 import Vllm2023Batcher, Vllm2023Settings
from traces.prefix import PrefixNode

#: Prompt and output tokens, arrival in tenths of a millisecond, priority, whether the prompt begins with shared text.
CALLS = st.lists(
    st.tuples(st.integers(30, 60), st.integers(1, 20), st.integers(0, 4000), st.integers(0, 1), st.booleans()),
    min_size=1,
    max_size=12,
)
ENGINES = (
    (OneAtATime, 100),
    (Vllm2023Batcher, Vllm2023Settings(num_blocks=12, max_num_batched_tokens=130)),
    (Vllm2023Batcher, Vllm2023Settings(num_blocks=100, max_num_seqs=3, max_total_tokens=150)),
    (ParrotBatcher, ParrotSettings(num_blocks=100, max_num_batched_tokens=130, max_total_tokens=170)),
    (ParrotBatcher, ParrotSettings(num_blocks=30, max_num_seqs=4, share_prompts=True, read_shared_once=True)),
)


def records(bench, batcher_class, limits, calls, skip):
    bench.use(batcher_class, limits, skip=skip)
    shared = (PrefixNode(0, 25),)
    for k, (prompt, output, tenths, priority, shares) in enumerate(calls):
        bench.send(k, prompt, output, tenths * 1e-4, priority=priority, path=shared if shares else ())
    bench.run()
    starts = {k: (r.scheduled_at, r.first_token_at, r.num_preemptions) for k, r in bench.requests.items()}
    return bench.finished, starts, bench.engine.steps.table().tolist()


@pytest.mark.parametrize(("batcher_class", "limits"), ENGINES)
def test_skipping_and_step_by_step_give_equal_records(new_bench, batcher_class, limits):
    @settings(max_examples=60, deadline=None)
    @given(calls=CALLS)
    def check(calls):
        skipping, stepping = (records(new_bench(), batcher_class, limits, calls, skip) for skip in (True, False))
        assert skipping == stepping
        assert len(skipping[0]) == len(calls)

    check()
