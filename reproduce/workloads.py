"""Workloads of the published experiments."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np

from traces.arrivals import all_at_once
from traces.generators.agents import multi_agent_rounds
from traces.generators.chain import chain, concurrent_chains, prefixed_chain
from traces.generators.chat import ChatShape, chat_sessions
from traces.generators.lengths import LogNormal
from traces.generators.mapreduce import map_reduce
from traces.workload import Call, Workload

#: Tokens of the "long Constant Prefix" of the notes, which do not say how long. Chosen here.
CONSTANT_PREFIX_TOKENS = 1000

#: Clients of "Chain 1 GPU, multi VMs".
NUM_CLIENTS = 16


def notes_chain() -> Workload:
    """20 calls in sequence, 670 + 20 + 10 tokens in, 20 out."""
    return chain()


def notes_clients() -> Workload:
    """Sixteen of those chains at once."""
    return concurrent_chains(NUM_CLIENTS)


def notes_prefixed_chain() -> Workload:
    """The chain behind a constant prefix."""
    return prefixed_chain(CONSTANT_PREFIX_TOKENS)


def notes_map_reduce(num_maps: int) -> Workload:
    """15 maps on one GPU, 30 on four; 1020 tokens in, 50 out."""
    return map_reduce(num_maps)


def notes_chatbots() -> Workload:
    """Eight sessions of four turns. The notes name the benchmark only; sizes are chosen here."""
    shape = ChatShape(4, LogNormal(100, 0.5, 400), LogNormal(150, 0.5, 400))
    return chat_sessions(all_at_once(8), shape, np.random.default_rng(0))


def notes_agents() -> Workload:
    """One multi-agent program of four files. The notes name the benchmark only; sizes are the generator's."""
    return multi_agent_rounds()


def one_after_another(workload: Workload) -> Workload:
    """The same calls, each waiting for the one before: a client that does not send two calls at once.

    LangChain's synchronous `chain.run`, which the published baseline uses, generates a list of prompts in a loop.
    """
    return msgspec.structs.replace(
        workload,
        name=f"{workload.name}, one after another",
        applications=tuple(
            msgspec.structs.replace(application, calls=_in_sequence(application.calls))
            for application in workload.applications
        ),
    )


def _in_sequence(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    chained = [calls[0]]
    for before, call in pairwise(calls):
        deps = call.deps if before.id in call.deps else (*call.deps, before.id)
        chained.append(msgspec.structs.replace(call, deps=deps))
    return tuple(chained)
