"""Figures 14 and 16 of the Parrot paper: many calls that share long prompts, 7B.

Figure 14 ran the engine alone on one A100-80GB, 64 requests behind one system prompt of 5107 tokens. Figure 16 ran a
service on four GPUs, RTX A6000 by the paper, for which nobody measured step costs: an A100 profile is scaled by
datasheet. Arrivals and the order of assistants are drawn here; the published draw is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis import metrics
from policies.prefix_affinity import PrefixAffinity
from reproduce.cards import A100_7B, A6000_7B
from reproduce.deployment import System, parrot, simulate, vllm_2023
from reproduce.figure import Point
from reproduce.published import assistants, bingchat_lengths, figure
from traces.arrivals import poisson_arrivals
from traces.generators.shared import SharedPrompt, shared_prefix_apps
from traces.workload import Application, Call, Workload, text

#: Tokens that all prompts of figure 14 begin with.
SYSTEM_PROMPT_TOKENS = 5107

#: KV blocks in the published script of figure 14; it bounds no batch of fills.
_BLOCKS_14 = 6800
_NO_LIMIT = 1_000_000

#: Requests of figure 16's baseline at its two lowest rates; 500 otherwise.
_NUM_CALLS_16 = {0.25: 50, 0.5: 100}

_SHARING = {"share_prompts": 1}
_READING_ONCE = {"share_prompts": 1, "read_shared_once": 1}
_MODES_14 = {"vllm_diverged": {}, "vllm_shared": _SHARING, "parrot_shared": _READING_ONCE}

_PARROT_16 = System(
    "parrot_shared",
    "parrot",
    parrot(max_num_batched_tokens=8192, **_READING_ONCE),
    orchestration="service",
    network_latency=0.0,
    policy=PrefixAffinity,
)
FIGURE_16 = {
    "vllm_baseline": System("vllm_baseline", "vllm-2023", vllm_2023(max_num_batched_tokens=8000)),
    "parrot_shared": _PARROT_16,
    "parrot_paged": replace(
        _PARROT_16, name="parrot_paged", make_engine=parrot(max_num_batched_tokens=8192, **_SHARING)
    ),
}


def figure_14() -> Iterator[Point]:
    """Whole run and mean completion of 64 requests by batch size; nothing fitted here."""
    profile, workload = A100_7B.profile("parrot"), bingchat()
    for row in figure("14").itertuples():
        engine = parrot(
            num_blocks=_BLOCKS_14,
            max_num_seqs=int(row.batch_size),
            max_num_batched_tokens=_NO_LIMIT,
            **_MODES_14[row.mode],
        )
        system = System(row.mode, "parrot", engine, orchestration="service", network_latency=0.0)
        calls = simulate(workload, system, profile)["calls"]
        completion = float((calls["finished_at"] - calls["scheduled_at"]).mean())
        note = "published run has one request more" if row.requests > len(calls) else ""
        quantities = (
            ("whole run", row.total_e2e_s, metrics.makespan(calls)),
            ("mean completion", row.mean_completion_s, completion),
        )
        for what, published, simulated in quantities:
            at = f"batch {row.batch_size}"
            yield Point("14", row.mode, what, at, published, float("nan"), simulated, False, note)


def figure_16() -> Iterator[Point]:
    """Mean of latency over output tokens, ms, by request rate; nothing fitted here."""
    for row in figure("16").itertuples():
        system, rate = FIGURE_16[row.system], float(row.request_rate_rps)
        num_calls = _NUM_CALLS_16.get(rate, 500) if row.system == "vllm_baseline" else 500
        workload = assistants_at(rate, num_calls)
        calls = simulate(workload, system, A6000_7B.profile(system.profile), num_engines=4)["calls"]
        simulated = normalized_latency_ms(calls)
        note = "4x RTX A6000, scaled from A100 by datasheet"
        published = row.normalized_latency_ms_per_token
        yield Point("16", row.system, "ms per token", f"{rate:g}/s", published, float("nan"), simulated, False, note)


def normalized_latency_ms(calls: pd.DataFrame) -> float:
    """Mean over calls of (finish - arrival) / output tokens, in milliseconds."""
    latency = calls["finished_at"] - calls["app_arrived_at"]
    return 1e3 * float((latency / calls["num_output_tokens"]).mean())


def bingchat() -> Workload:
    """The requests of figure 14, all at once, behind one system prompt."""
    applications = tuple(
        Application(
            f"r{k}",
            0.0,
            (
                Call(
                    "call",
                    (text("system", SYSTEM_PROMPT_TOKENS), text(f"r{k}", num_prompt - SYSTEM_PROMPT_TOKENS)),
                    num,
                ),
            ),
        )
        for k, (num_prompt, num) in enumerate(bingchat_lengths())
    )
    return Workload("64 requests behind one system prompt", applications)


def assistants_at(rate: float, num_calls: int) -> Workload:
    """Calls to four assistants, equally often, as a Poisson stream; the published script draws them so."""
    prompts = [
        SharedPrompt(each["app_name"], each["prompt_length"], each["query_length"], each["output_length"])
        for each in assistants()
    ]
    rng = np.random.default_rng(0)
    return shared_prefix_apps(prompts, poisson_arrivals(rate, num_calls, rng), rng)
