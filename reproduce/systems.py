"""The systems of the benchmark notes, as their published code ran them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from policies.app_fifo import AppFifo
from policies.round_robin import RoundRobin
from reproduce.deployment import System, hugging_face, parrot, vllm_2023

_STAGES = ("chain", "map", "reduce", "turn", "architect", "coder", "reviewer", "reviser")

#: The log in the notes: 31 submissions within 0.245 s.
SUBMIT_INTERVAL = 0.245 / 30


def at_most(num_calls: int) -> Mapping[str, int]:
    """The same upper bound for every stage."""
    return dict.fromkeys(_STAGES, num_calls)


FASTCHAT_HF = System("FastChat (w/o vLLM)", "hf", hugging_face, num_resident=1)
FASTCHAT_VLLM = System("FastChat (w/ vLLM)", "vllm-2023", vllm_2023())
BASELINE_PER_CALL = System("Parrot baseline", "parrot", parrot(), bounds=at_most(2))

LANGCHAIN_HF = replace(FASTCHAT_HF, name="LangChain + FastChat (w/o vLLM)")
LANGCHAIN_VLLM = replace(FASTCHAT_VLLM, name="LangChain + FastChat (w/ vLLM)")
PARROT_HF = System(
    "Parrot + FastChat (w/o vLLM)", "hf", hugging_face, orchestration="service", bounds=at_most(1), num_resident=1
)
#: The alternative reading: two calls at the worker, so that it never waits for the dispatcher.
PARROT_HF_BY_TWO = replace(PARROT_HF, bounds=at_most(2))
PARROT_VLLM = System(
    "Parrot + FastChat (w/ vLLM)", "vllm-2023", vllm_2023(), orchestration="service", bounds=at_most(2)
)
#: In turn over the engines: the four-GPU log has 8, 8, 8 and 7 calls, where least loaded would give 9, 8, 7 and 7.
BASELINE = replace(BASELINE_PER_CALL, orchestration="service", policy=RoundRobin)
#: Upper bounds in the published code at the commit of the notes: 32 for map, none for reduce.
MAIN = System("Parrot main", "parrot", parrot(), orchestration="service", bounds={"map": 32}, policy=AppFifo)
#: Upper bounds as the text of the notes has them.
MAIN_AS_NOTED = replace(MAIN, bounds={"map": 8, "reduce": 2})
#: With the function's constant text kept as a context that later calls build on (`cache_prefix`).
MAIN_SHARING = replace(MAIN, make_engine=parrot(share_prompts=True), shares_prompts=True)

#: Limits of "Chain 1 GPU, multi VMs": 2048 batched tokens, 2 calls.
_TIGHT = {"max_num_seqs": 2, "max_num_batched_tokens": 2048}
CLIENTS_SYSTEMS = (
    FASTCHAT_HF,
    replace(FASTCHAT_VLLM, make_engine=vllm_2023(**_TIGHT), num_resident=2),
    replace(BASELINE_PER_CALL, make_engine=parrot(**_TIGHT), num_resident=2),
    replace(MAIN, make_engine=parrot(**_TIGHT), num_resident=2),
)
PER_CALL_SYSTEMS = (FASTCHAT_HF, FASTCHAT_VLLM, BASELINE_PER_CALL)
MAP_REDUCE_SYSTEMS = (LANGCHAIN_HF, LANGCHAIN_VLLM, PARROT_HF, PARROT_VLLM, BASELINE, MAIN)


def submitting_one_by_one(system: System) -> System:
    """The system, with first calls submitted at the interval of the four-GPU log."""
    return replace(system, submit_interval=SUBMIT_INTERVAL)
