"""Simulated engines charge for shared prefixes by what their calls really share."""

import msgspec
import pandas as pd
import pytest

from policies.fifo import Fifo
from sim.run import SimulatedCluster, settings_of, simulate
from sim.vllm_version import require_vllm
from traces.workload import Application, Call, Workload, output_of, text


def chats(num_chats, *, system="system"):
    """Chats of three turns behind one system prompt; each turn holds the turns before."""
    return Workload("chats", tuple(_chat(f"chat {n}", 0.03 * n, system) for n in range(num_chats)))


def _chat(name, arrival, system):
    prompt, calls = (text(system, 500),), []
    for turn in range(3):
        prompt = (*prompt, text(f"{name} turn {turn}", 70 + turn))
        deps = (calls[-1].id,) if calls else ()
        calls.append(Call(f"t{turn}", prompt, 40 + 7 * (len(name) + turn), deps=deps))
        prompt = (*prompt, output_of(calls[-1].id))
    return Application(name, arrival, tuple(calls))


def run(workload, profile, **how):
    settings = settings_of(profile, num_blocks=how.pop("num_blocks", None))
    return simulate(workload, Fifo(), SimulatedCluster(profile, 1, settings, **how))


@pytest.fixture
def limited(known):
    """The known engine, where repeated reads are cheap as far as its cache goes and neighbours share."""
    terms = msgspec.structs.replace(known.terms, num_resident_tokens=200, num_parallel_calls=3)
    return msgspec.structs.replace(known, name="limited", terms=terms)


def groups(num_chats):
    """Chats of two kinds: behind a text that all have stands one of their kind's."""
    applications = []
    for n in range(num_chats):
        chat = _chat(f"chat {n}", 0.03 * n, f"kind {n % 2}")
        calls = tuple(msgspec.structs.replace(call, prompt=(text("all", 100), *call.prompt)) for call in chat.calls)
        applications.append(msgspec.structs.replace(chat, calls=calls))
    return Workload("groups", tuple(applications))


@pytest.mark.parametrize("num_blocks", [3801, 150])  # without and with preemptions
def test_skipping_steps_changes_nothing_when_calls_share(limited, num_blocks):
    skipped = run(groups(12), limited, num_blocks=num_blocks)
    stepped = run(groups(12), limited, num_blocks=num_blocks, skip=False)
    pd.testing.assert_frame_equal(skipped.calls, stepped.calls)
    assert (skipped.calls.num_preemptions.sum() > 0) == (num_blocks == 150)


@pytest.mark.parametrize("num_blocks", [3801, 150])
def test_what_calls_share_is_what_vllm_lets_them_share(limited, num_blocks):
    try:
        require_vllm()
    except ValueError as error:
        pytest.skip(str(error))
    native = run(groups(12), limited, num_blocks=num_blocks)
    reference = run(groups(12), limited, num_blocks=num_blocks, reference=True)
    pd.testing.assert_frame_equal(native.calls, reference.calls)


def test_calls_that_share_a_prefix_finish_earlier_than_calls_that_do_not(known):
    """The prefills are made equal: without the prefix cache nobody shares."""
    shared = run(chats(12), known).calls
    settings = settings_of(known, enable_prefix_caching=False)
    alone = simulate(chats(12), Fifo(), SimulatedCluster(known, 1, settings)).calls
    assert shared.finished_at.mean() < alone.finished_at.mean()


def test_the_discount_is_that_of_the_step_cost(known):
    """Eight calls on one cached prefix of 512 tokens: the steps they decode together, by hand."""
    first = Call("first", (text("prefix", 512), text("x", 1)), 1)
    rest = [Call(f"c{n}", (text("prefix", 512), text(f"own {n}", 10)), 30, deps=("first",)) for n in range(8)]
    steps = run(Workload("w", (Application("a", 0.0, (first, *rest)),)), known, skip=False).steps
    row = steps[steps.num_decodes == 8].iloc[0]
    terms = known.terms
    saved = 7 * 512 * (terms.decode_context.seconds[1] - _at(terms.repeated_context, 8))
    alone = known.step_cost(async_scheduling=True).step(8, int(row.num_context_tokens), ())
    growth = (row["count"] - 1) / 2 * 8 * terms.decode_context.seconds[1]
    assert (row.finished_at - row.started_at) / row["count"] == pytest.approx(alone - saved + growth, rel=1e-9)


def _at(table, count):
    return dict(zip(table.counts, table.seconds, strict=True))[count]
