"""Generators: the lengths of the benchmark notes, the graphs they promise, and shared text only where meant."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.arrivals import all_at_once, uniform_arrivals
from traces.describe import call_depths, shared_prefix_tokens
from traces.generators.agents import AgentsShape, multi_agent_rounds
from traces.generators.chain import ChainShape, chain, concurrent_chains, prefixed_chain
from traces.generators.chat import ChatShape, chat_sessions
from traces.generators.lengths import LogNormal, fixed_lengths, lognormal_lengths, sampled_lengths
from traces.generators.mapreduce import map_reduce
from traces.generators.mixture import mix
from traces.generators.shared import SharedPrompt, shared_prefix_apps
from traces.generators.single import single_calls
from traces.validation import validate_workload
from traces.workload import Application, Workload, num_prompt_tokens, output_of


def prompt_lengths(application: Application) -> list[int]:
    outputs = {call.id: call.output_tokens for call in application.calls}
    return [num_prompt_tokens(call, outputs) for call in application.calls]


def chats(seed: int, num_sessions: int = 4, system_tokens: int = 100) -> Workload:
    shape = ChatShape(3, LogNormal(40, 1.0, 400), LogNormal(80, 0.5, 400), think_time=5.0, system_tokens=system_tokens)
    return chat_sessions(uniform_arrivals(1.0, num_sessions), shape, np.random.default_rng(seed))


def test_chain_has_the_lengths_of_the_notes():
    application = chain().applications[0]

    assert prompt_lengths(application) == [670 + 100 + 10] + [670 + 20 + 10] * 19
    assert {call.output_tokens for call in application.calls} == {20}
    assert max(call_depths(application).values()) == 20


def test_chain_calls_share_no_beginning():
    assert shared_prefix_tokens(concurrent_chains(16)) == 0


def test_prefixed_chain_shares_exactly_its_prefix_with_every_call_but_the_first():
    workload = prefixed_chain(1000, all_at_once(2))

    assert shared_prefix_tokens(workload) == (2 * 20 - 1) * 1000


@pytest.mark.parametrize("num_maps", [15, 30])
def test_map_reduce_has_the_lengths_of_the_notes(num_maps):
    application = map_reduce(num_maps).applications[0]

    assert prompt_lengths(application) == [1020] * num_maps + [10 + 50 * num_maps + 10]
    assert {call.output_tokens for call in application.calls} == {50}
    assert application.calls[-1].deps == tuple(f"map{i}" for i in range(num_maps))


@pytest.mark.parametrize(("number", "named"), [(1, "1 shared prompt"), (2, "2 shared prompts")])
def test_a_workload_is_named_after_its_shared_prompts_one_or_several(number, named):
    prompts = [SharedPrompt(f"assistant {index}", 100, 5, 10) for index in range(number)]

    assert shared_prefix_apps(prompts, all_at_once(2), np.random.default_rng(0)).name == named


def test_maps_share_only_their_instruction():
    assert shared_prefix_tokens(map_reduce(15)) == 14 * 10


def test_a_chat_turn_repeats_everything_said_before():
    turns = chats(0).applications[0].calls

    for before, after in pairwise(turns):
        assert after.prompt[: len(before.prompt) + 1] == (*before.prompt, output_of(before.id))
        assert after.deps == (before.id,)
        assert after.delay > 0


def test_chats_share_the_system_prompt_and_their_own_history_only():
    workload = chats(0, num_sessions=4, system_tokens=100)

    repeated = sum(
        sum(prompt_lengths(app)[1:]) - sum(call.prompt[-1].tokens or 0 for call in app.calls[1:])
        for app in workload.applications
    )
    assert shared_prefix_tokens(workload) == repeated + 3 * 100


def test_each_agent_quotes_all_outputs_of_the_round_before():
    application = multi_agent_rounds(shape=AgentsShape(num_files=3, num_revisions=2)).applications[0]

    assert [call.stage for call in application.calls] == [
        "architect", *["coder"] * 3, *(["reviewer"] * 3 + ["reviser"] * 3) * 2
    ]  # fmt: skip
    for call in application.calls[1:]:
        assert tuple(part.output_of for part in call.prompt if part.output_of) == call.deps
    assert max(call_depths(application).values()) == 6


def test_shared_prompts_are_drawn_by_weight():
    prompts = [SharedPrompt("a", 1000, 5, 10, weight=3.0), SharedPrompt("b", 500, 5, 10, weight=1.0)]

    workload = shared_prefix_apps(prompts, all_at_once(4000), np.random.default_rng(0))

    share = np.mean([app.calls[0].stage == "a" for app in workload.applications])
    assert share == pytest.approx(0.75, abs=0.028)  # four standard errors of a share at 4,000 draws


def test_calls_of_one_shared_prompt_repeat_exactly_that_prompt():
    workload = shared_prefix_apps([SharedPrompt("a", 1000, 5, 10)], all_at_once(9), np.random.default_rng(0))

    assert shared_prefix_tokens(workload) == 8 * 1000


def test_prompts_without_weight_are_refused():
    with pytest.raises(ValueError, match="weight above 0"):
        shared_prefix_apps([SharedPrompt("a", 1, 1, 1, weight=0.0)], all_at_once(1), np.random.default_rng(0))


def test_lognormal_lengths_have_the_asked_median_and_stay_within_bounds():
    lengths = lognormal_lengths(LogNormal(500, 1.0, 4000), LogNormal(3, 2.0, 50), 10_001, np.random.default_rng(0))

    # Standard error of a log-normal median: 1.25 sigma / sqrt(n) = 1.3 % here; four of them.
    assert np.median(lengths[:, 0]) == pytest.approx(500, rel=0.05)
    assert lengths[:, 0].max() == 4000
    assert (lengths[:, 1].min(), lengths[:, 1].max()) == (1, 50)


def test_sampled_lengths_keep_pairs_together():
    table = np.array([[10, 1], [20, 2], [30, 3]])

    lengths = sampled_lengths(table, 200, np.random.default_rng(0))

    assert set(map(tuple, lengths.tolist())) == {(10, 1), (20, 2), (30, 3)}


def test_single_calls_take_lengths_and_arrivals_in_order():
    workload = single_calls(np.array([[512, 128], [64, 8]]), np.array([0.0, 1.5]))

    assert [(app.arrival, app.calls[0].output_tokens) for app in workload.applications] == [(0.0, 128), (1.5, 8)]
    assert [prompt_lengths(app) for app in workload.applications] == [[512], [64]]
    assert shared_prefix_tokens(workload) == 0


def test_single_calls_need_an_arrival_each():
    with pytest.raises(ValueError, match="2 lengths and 3 arrivals must be equally many"):
        single_calls(fixed_lengths(5, 5, 2), all_at_once(3))


def test_a_mixture_is_in_order_of_arrival_and_shares_nothing_between_its_parts():
    parts = {"first": prefixed_chain(50, np.array([3.0])), "second": prefixed_chain(50, np.array([1.0]))}

    mixture = mix(parts)

    assert [app.id for app in mixture.applications] == ["second/chain0", "first/chain0"]
    assert shared_prefix_tokens(mixture) == sum(shared_prefix_tokens(part) for part in parts.values())


def test_a_mixture_shares_the_segments_that_it_is_told_to():
    parts = {"first": prefixed_chain(50), "second": prefixed_chain(50)}

    mixture = mix(parts, shared=["constant-prefix"])

    assert shared_prefix_tokens(mixture) == (2 * 20 - 1) * 50


@pytest.mark.parametrize("make", [lambda: map_reduce(0), lambda: ChainShape(num_calls=0), lambda: prefixed_chain(-1)])
def test_a_count_below_one_is_refused_by_name(make):
    with pytest.raises(ValueError, match=r"(num_maps|num_calls|prefix_tokens)=-?\d must be a positive integer"):
        make()


def test_a_negative_arrival_is_refused():
    with pytest.raises(ValueError, match=r"application 'mr0': arrival=-1.0 must be a finite number"):
        map_reduce(2, np.array([-1.0]))


small = st.integers(1, 6)


@given(small, small, small, st.integers(0, 2), st.integers(0, 2**32 - 1))
def test_everything_generated_is_valid_and_the_same_seed_gives_the_same_workload(apps, size, tokens, revisions, seed):
    def generate() -> Workload:
        rng = np.random.default_rng(seed)
        arrivals = rng.uniform(0, 10, apps)
        lengths = LogNormal(tokens, 1.0, 50)
        shape = ChainShape(size, tokens, tokens, tokens, tokens)
        return mix(
            {
                "chain": chain(arrivals, shape),
                "prefixed": prefixed_chain(tokens, arrivals, shape),
                "map-reduce": map_reduce(size, arrivals, chunk_tokens=tokens),
                "chat": chat_sessions(arrivals, ChatShape(size, lengths, lengths, 1.0, revisions), rng),
                "agents": multi_agent_rounds(arrivals, AgentsShape(size, revisions)),
                "shared": shared_prefix_apps([SharedPrompt("a", tokens, 1, 1)], arrivals, rng),
                "single": single_calls(lognormal_lengths(lengths, lengths, apps, rng), arrivals),
            }
        )

    workload = generate()

    validate_workload(workload, source="generated")
    assert len(workload.applications) == 7 * apps
    assert generate() == workload
