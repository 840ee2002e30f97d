"""Figures 11, 12a and 13 of the Parrot paper: summaries of articles as chains and map-reduces, 13B on one A100-80GB.

Chunks have their real token counts; the published chunk size is nominal. Prompts are chunk and earlier outputs: the
published instructions (30 to 130 tokens) are contained in the fitted constants, as are chat templates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import numpy as np
import pandas as pd

from analysis import metrics
from reproduce.cards import A100_13B
from reproduce.closed_form import predicted
from reproduce.deployment import System, hugging_face, parrot, simulate, vllm_2023
from reproduce.figure import Point
from reproduce.published import article_chunks, figure
from traces.arrivals import poisson_arrivals
from traces.importers.parrot_articles import article_chain, article_map_reduce
from traces.workload import Application, Call, Workload, text

#: Tokens that the running calls of the vLLM baseline may hold in figures 12a and 13. Its published command line bounds
#: batches, not memory, yet its times fit no more than about this many. Fitted: the multiple of 512 with the least mean
#: absolute error on the even articles of figure 13 (`fit_capacity`).
VLLM_CAPACITY = 3072

#: Raised from 8000 in both systems, for reduce calls of up to 10,400 tokens.
_LONGEST = 16_384

#: `max_batch_size` aside, the limits in Parrot's published engine files of figures 12a and 13.
_FIGURE_12A = {"max_num_seqs": 999_999, "max_num_batched_tokens": 2560, "max_total_tokens": 4096}
_FIGURE_13 = {"max_num_seqs": 256, "max_num_batched_tokens": _LONGEST, "max_total_tokens": 45_000, "num_blocks": 3500}

#: Longest run of background calls simulated, seconds; the slowest published chain takes 426.
_BACKGROUND_SECONDS = 600.0


def vllm_bounded(capacity: int) -> System:
    """The vLLM baseline of figures 12a and 13.

    Its published launch script allows 8000 tokens a batch. The reduce call of the two longest articles in chunks of 512
    has more than that, which that vLLM would refuse; here the limit is raised for it.
    """
    engine = vllm_2023(max_total_tokens=capacity, max_num_batched_tokens=_LONGEST, max_model_len=_LONGEST)
    return System("vllm_baseline", "vllm-2023", engine)


FIGURE_11 = {
    "huggingface": System("huggingface", "hf", hugging_face, num_resident=1),
    "vllm_baseline": System("vllm_baseline", "vllm-2023", vllm_2023()),
    "parrot": System("parrot", "parrot", parrot(), orchestration="service", network_latency=0.0),
}
_VLLM_BOUNDED = vllm_bounded(VLLM_CAPACITY)
FIGURE_12A = {
    "vllm_baseline": _VLLM_BOUNDED,
    "parrot": replace(FIGURE_11["parrot"], make_engine=parrot(**_FIGURE_12A)),
}
FIGURE_13 = {
    "vllm_baseline": _VLLM_BOUNDED,
    "parrot": replace(FIGURE_11["parrot"], make_engine=parrot(**_FIGURE_13)),
}


def figure_11() -> Iterator[Point]:
    """Chain by chunk size; constants were fitted to the even articles, all chunk sizes."""
    chunks = article_chunks()
    for row in figure("11").itertuples():
        system = FIGURE_11[row.system]
        workload = article_chain(chunks[row.article, row.nominal_chunk_size], output_tokens=row.output_len)
        what = f"chunk size {row.nominal_chunk_size}"
        yield _point("11", row.article, what, row.time_s, system, workload, is_fitted=_is_even(row.article))


def figure_13() -> Iterator[Point]:
    """Map-reduce by chunk size; the baseline's token capacity was fitted to the even articles."""
    chunks = article_chunks()
    for row in figure("13").itertuples():
        if row.system not in FIGURE_13:
            continue  # a second run of the baseline
        system = FIGURE_13[row.system]
        workload = article_map_reduce(chunks[row.article, row.nominal_chunk_size], output_tokens=row.output_len)
        is_fitted = row.system == "vllm_baseline" and _is_even(row.article)
        what = f"chunk size {row.nominal_chunk_size}"
        yield _point("13", row.article, what, row.time_s, system, workload, is_fitted=is_fitted)


def figure_12a() -> Iterator[Point]:
    """Chain of 1024-token chunks while single calls of 512 + 50 tokens arrive at a rate; nothing fitted here."""
    chunks = article_chunks()
    for row in figure("12a").itertuples():
        system = FIGURE_12A[row.system]
        workload = chain_with_background(chunks[row.article, 1024], row.background_rate_rps, _number(row.article))
        calls = simulate(workload, system, A100_13B.profile(system.profile))["calls"]
        seconds = float(metrics.jct(calls)["chain0"])
        what = f"background {row.background_rate_rps:g}/s"
        yield Point("12a", row.system, row.article, what, row.time_s, float("nan"), seconds, False)


def chain_with_background(chunk_tokens: tuple[int, ...], rate: float, seed: int) -> Workload:
    """A chain that starts 3 s after a Poisson stream of single calls, which rank behind it where the engine ranks.

    Parrot's engine of this figure sorts by program number, and the chain's program registers first.
    """
    chain = article_chain(chunk_tokens, np.array([3.0]))
    if not rate:
        return chain
    arrivals = poisson_arrivals(rate, int(rate * _BACKGROUND_SECONDS), np.random.default_rng(seed))
    background = tuple(
        Application(f"b{k}", float(at), (Call("call", (text(f"b{k}", 512),), 50, stage="background", priority=1),))
        for k, at in enumerate(arrivals)
    )
    return msgspec.structs.replace(chain, applications=(*chain.applications, *background))


def fit_capacity() -> pd.Series:
    """Mean absolute error (%) of the baseline on figure 13's even articles, by token capacity."""
    chunks, rows = article_chunks(), figure("13")
    even = rows[(rows["system"] == "vllm_baseline") & rows["article"].map(_is_even)]
    errors = {}
    for capacity in range(2048, 5121, 512):
        system = vllm_bounded(capacity)
        found = []
        for row in even.itertuples():
            workload = article_map_reduce(chunks[row.article, row.nominal_chunk_size], output_tokens=row.output_len)
            calls = simulate(workload, system, A100_13B.profile(system.profile))["calls"]
            found.append(abs(metrics.makespan(calls) / row.time_s - 1))
        errors[capacity] = 100 * float(np.mean(found))
    return pd.Series(errors, name="mean absolute error (%)")


def _point(
    number: str, article: str, what: str, published: float, system: System, workload: Workload, *, is_fitted: bool
) -> Point:
    profile = A100_13B.profile(system.profile)
    by_hand = sum(term.seconds for term in predicted(workload, system, profile))
    simulated = metrics.makespan(simulate(workload, system, profile)["calls"])
    return Point(number, system.name, article, what, published, by_hand, simulated, is_fitted)


def _number(article: str) -> int:
    return int(article.removeprefix("article_"))


def _is_even(article: str) -> bool:
    return _number(article) % 2 == 0
