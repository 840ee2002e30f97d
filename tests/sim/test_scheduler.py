"""What a step runs, by hand-computed cases: vLLM's order, limits, chunks and preemptions."""

import pytest

from sim.request import State
from sim.scheduler import Scheduler
from sim.settings import EngineSettings
from traces.prefix import PrefixNode

BLOCK = 4


class Planner:
    """A scheduler that is stepped by hand; the output of a step is taken before the next is planned, or one later."""

    def __init__(self, new_request, **limits):
        limits = {"block_size": BLOCK, "num_blocks": 101, "async_scheduling": False} | limits
        self.scheduler = Scheduler(EngineSettings(**limits))
        self.lag = 1 if limits["async_scheduling"] else 0
        self.new_request = new_request
        self.finished = []

    def add(self, name, prompt, output=1, **options):
        request = self.new_request(name, prompt, output, **options)
        request.sequence = request.arrived_at = self.scheduler.step
        self.scheduler.add(request)
        return request

    def step(self):
        """Take what is finished, plan one step: ({name: prefill tokens}, decoding calls, preempted calls)."""
        last_tokens = self.scheduler.last_tokens
        while last_tokens and last_tokens[0][0] <= self.scheduler.step - self.lag:
            request = last_tokens.popleft()[1]
            self.scheduler.finish(request)
            self.finished.append(request.call.name)
        batch = self.scheduler.schedule()
        chunks = {request.call.name: num_new for request, num_new, _ in batch.prefills}
        return chunks, batch.num_decodes, batch.num_preempted

    def steps_until_idle(self):
        steps = []
        while not steps or steps[-1] != ({}, 0, 0):
            steps.append(self.step())
        return steps[:-1]


@pytest.fixture
def planner(new_request):
    return lambda **limits: Planner(new_request, **limits)


def test_a_call_takes_one_step_for_its_prompt_and_one_for_each_output_token_but_the_first(planner):
    engine = planner()
    engine.add("a", 10, 4)
    assert engine.steps_until_idle() == [({"a": 10}, 0, 0)] + 3 * [({}, 1, 0)]


def test_a_long_prompt_is_split_at_the_token_budget(planner):
    engine = planner(max_num_batched_tokens=8)
    engine.add("a", 19)
    assert engine.steps_until_idle() == [({"a": 8}, 0, 0), ({"a": 8}, 0, 0), ({"a": 3}, 0, 0)]


def test_what_a_chunk_leaves_of_the_budget_goes_to_the_next_in_line(planner):
    engine = planner(max_num_batched_tokens=8)
    engine.add("a", 5, 2)
    engine.add("b", 6, 1)
    assert engine.steps_until_idle() == [({"a": 5, "b": 3}, 0, 0), ({"b": 3}, 1, 0)]


def test_decoding_calls_come_before_chunks(planner):
    """Two calls decode, so a budget of 8 leaves 6 for the prompt."""
    engine = planner(max_num_batched_tokens=8)
    engine.add("a", 4, 9)
    engine.add("b", 4, 9)
    engine.step()
    engine.add("c", 10)
    assert [engine.step(), engine.step()] == [({"c": 6}, 2, 0), ({"c": 4}, 2, 0)]


def test_without_chunking_a_prompt_waits_for_a_step_that_takes_it_whole(planner):
    engine = planner(max_num_batched_tokens=8, max_model_len=8, enable_chunked_prefill=False)
    engine.add("a", 5, 2)
    engine.add("b", 6)
    assert engine.steps_until_idle() == [({"a": 5}, 0, 0), ({"b": 6}, 1, 0)]


def test_one_prompt_takes_at_most_the_long_prefill_threshold_of_a_step(planner):
    engine = planner(long_prefill_token_threshold=6)
    engine.add("a", 10)
    engine.add("b", 3)
    assert engine.steps_until_idle() == [({"a": 6, "b": 3}, 0, 0), ({"a": 4}, 0, 0)]


def test_at_the_sequence_limit_a_call_waits_for_an_end(planner):
    engine = planner(max_num_seqs=1)
    engine.add("a", 4, 2)
    engine.add("b", 4, 1)
    assert engine.steps_until_idle() == [({"a": 4}, 0, 0), ({}, 1, 0), ({"b": 4}, 0, 0)]


def test_asynchronous_scheduling_frees_a_place_one_step_later(planner):
    """The step after the last token is planned while that token is still computed."""
    engine = planner(max_num_seqs=1, async_scheduling=True)
    engine.add("a", 4, 2)
    engine.add("b", 4, 1)
    assert [engine.step() for _ in range(4)] == [({"a": 4}, 0, 0), ({}, 1, 0), ({}, 0, 0), ({"b": 4}, 0, 0)]


@pytest.mark.parametrize(("is_async", "num_waits"), [(False, 1), (True, 2)])
def test_asynchronous_scheduling_frees_memory_one_step_later(planner, is_async, num_waits):
    """Three usable blocks; "a" holds two of them until its end and "b" needs two."""
    engine = planner(num_blocks=4, async_scheduling=is_async)
    engine.add("a", 7, 2)
    engine.add("b", 7, 1)
    assert engine.step() == ({"a": 7}, 0, 0)
    waits = [engine.step()[0] for _ in range(num_waits)]
    assert waits == [{}] * num_waits
    assert engine.step()[0] == {"b": 7}


def test_a_call_is_admitted_only_if_its_whole_prompt_fits(planner):
    """Four usable blocks. "b" needs four, though its first chunk of four tokens needs one."""
    limits = {"num_blocks": 5, "max_num_batched_tokens": 8}
    for reserves, chunks in ((True, {"a": 4}), (False, {"a": 4, "b": 4})):
        engine = planner(scheduler_reserve_full_isl=reserves, **limits)
        engine.add("a", 4, 2)
        engine.add("b", 16)
        assert engine.step()[0] == chunks


def test_the_watermark_keeps_blocks_free_beside_running_calls_but_not_for_the_first(planner):
    """Ten blocks, nine usable, one kept free: after four of "a", "b" may take four but not five."""
    for num_tokens, chunks in ((16, {"a": 16, "b": 16}), (20, {"a": 16})):
        engine = planner(num_blocks=10, watermark=0.1)
        engine.add("a", 16, 2)
        engine.add("b", num_tokens)
        assert engine.step()[0] == chunks
    alone = planner(num_blocks=10, watermark=0.1)
    alone.add("a", 36)
    assert alone.step()[0] == {"a": 36}


def test_memory_short_the_last_admitted_call_is_preempted_and_comes_back_with_its_tokens(planner):
    """Four usable blocks. Both calls fill two, then each needs a third: "b" goes, with 8 prompt tokens and 1 output.

    Of its two full blocks the cache still holds the first, because "a" took the second; so 5 tokens are computed again.
    """
    engine = planner(num_blocks=5)
    a, b = engine.add("a", 8, 5), engine.add("b", 8, 5)
    assert [engine.step(), engine.step()] == [({"a": 8, "b": 8}, 0, 0), ({}, 1, 1)]
    assert (a.num_preemptions, b.num_preemptions) == (0, 1)
    assert engine.steps_until_idle()[3:] == [({"b": 5}, 0, 0)] + 3 * [({}, 1, 0)]
    assert engine.finished == ["a", "b"]


def test_by_priority_the_least_urgent_call_is_preempted_even_if_it_came_first(planner):
    engine = planner(num_blocks=5, scheduling_policy="priority")
    a, b = engine.add("a", 8, 5, priority=1), engine.add("b", 8, 5, priority=0)
    engine.step()
    engine.step()
    assert (a.state, b.state) == (State.WAITING, State.DECODE)


def test_by_priority_the_most_urgent_waiting_call_is_admitted_first(planner):
    engine = planner(max_num_seqs=1, scheduling_policy="priority")
    engine.add("late", 4, priority=2)
    engine.add("urgent", 4, priority=1)
    assert engine.step()[0] == {"urgent": 4}


def test_a_preempted_call_goes_before_all_that_wait(planner):
    engine = planner(num_blocks=5)
    engine.add("a", 8, 3)
    engine.add("b", 8, 3)
    engine.step()
    engine.add("c", 4)
    order = [name for chunks, _, _ in engine.steps_until_idle() for name in chunks]
    assert order == ["b", "c"]


def test_a_cached_prefix_saves_its_whole_blocks(planner):
    """Ten shared tokens are two blocks of four: 12 - 8 tokens are left to compute."""
    engine, shared = planner(), (PrefixNode(0, 10),)
    engine.add("a", 12, path=shared)
    engine.step()
    b = engine.add("b", 12, path=shared)
    assert engine.step()[0] == {"b": 4}
    assert b.num_cached_tokens == 8


def test_a_prompt_that_is_cached_whole_computes_its_last_block(planner):
    engine, shared = planner(), (PrefixNode(0, 12),)
    engine.add("a", 12, path=shared)
    engine.step()
    engine.add("b", 12, path=shared)
    assert engine.step()[0] == {"b": 4}


def test_calls_of_one_prompt_that_start_together_share_what_is_planned_before_them(planner):
    """vLLM enters a block when it is planned: the second call of the same step finds it."""
    engine, shared = planner(), (PrefixNode(0, 9),)
    engine.add("a", 9, path=shared)
    engine.add("b", 9, path=shared)
    assert engine.step()[0] == {"a": 9, "b": 1}


def test_decoding_calls_beyond_the_budget_are_left_out_in_order_of_admission(planner):
    """Prompts of one token, a budget of two: "c" starts when "a" and "b" have ended."""
    engine = planner(max_num_batched_tokens=2)
    for name in "abc":
        engine.add(name, 1, 3)
    steps = engine.steps_until_idle()
    assert steps == [({"a": 1, "b": 1}, 0, 0), ({}, 2, 0), ({}, 2, 0), ({"c": 1}, 0, 0), ({}, 1, 0), ({}, 1, 0)]


def test_many_steps_at_once_leave_what_as_many_single_steps_leave(planner):
    at_once, one_by_one = planner(), planner()
    for engine in (at_once, one_by_one):
        engine.add("a", 9, 30)
        engine.add("b", 6, 20)
        engine.step()
    at_once.scheduler.run_decodes(11)
    for _ in range(11):
        one_by_one.step()
    for scheduler in (at_once.scheduler, one_by_one.scheduler):
        assert (scheduler.step, scheduler.decodes.num_context_tokens, scheduler.kv_cache.num_free) == (
            11,
            39,
            100 - 5 - 5,
        )
