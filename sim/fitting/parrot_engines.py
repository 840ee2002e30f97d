"""Fit the older engines of the benchmark notes: `python -m sim.fitting.parrot_engines --data DATA`.

Writes a100-llama-13b-{parrot,vllm-2023,hf} and their 7B counterparts.

Two numbers per engine are fitted on top of the kernel-table profile of the same GPU and model: seconds of host time per
step, and how many times as long as the kernels its prefill takes. Points: published times of a 13B chain application on
one A100 (figure 11; 50 output tokens, four chunk sizes, ten articles); even articles are fitted, odd ones held out. The
client's 0.25 s per call is taken off vLLM and Hugging Face. Decode batches above one follow the kernel tables alone.
7B: the same two numbers on 7B kernels; a Hugging Face step, bound by launching kernels, takes time by number of layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from sim.fitting import kernel_profiles
from sim.fitting.linear import huber_lstsq
from sim.fitting.output import arguments, curve_table, residual, rounded, write_profile
from sim.profile import EngineDefaults, Measurement, Overheads, Profile, Residual, Scheduler, Terms
from sim.step_cost import StepCost

NETWORK_SECONDS = 0.25  # slept by the client before each call: the benchmark notes
#: From the end of a call until a call that waited for its place is dispatched by Parrot's manager. Fitted on one row of
#: the notes (map-reduce, 15 maps, one GPU, "Parrot baseline", 14.09 s: 8 rounds of at most 2 calls, 7 releases), which
#: `dovetail reproduce notes` marks. Published code polls every 0.1 ms, so its cause is not known.
RELEASE_SECONDS = 0.19


@dataclass(frozen=True, slots=True)
class Engine:
    """One older engine.

    Parameters
    ----------
    suffix, title, version : str
    scheduler : str
        Which scheduler a simulation with its profile runs (`sim.profile.Profile`).
    system : str
        Its name in the published figure.
    network_seconds : float
        Client latency per call contained in its published times.
    first_token_in_prefill : bool
        Whether the prefill step already yields the first token. Parrot fills, then generates every token in a step.
    is_launch_bound : bool
        Whether its decode step waits for the host to launch kernels, layer by layer.
    """

    suffix: str
    title: str
    version: str
    scheduler: Scheduler
    system: str
    network_seconds: float
    first_token_in_prefill: bool
    is_launch_bound: bool = False


ENGINES = (
    Engine("parrot", "Parrot's own engine", "2023-11 to 2024-04", "parrot", "parrot", 0.0, False),
    Engine("vllm-2023", "vLLM behind FastChat", "2023", "vllm-2023", "vllm_baseline", NETWORK_SECONDS, True),
    Engine(
        "hf",
        "Hugging Face generate behind FastChat",
        "2023",
        "hugging-face",
        "huggingface",
        NETWORK_SECONDS,
        True,
        True,
    ),
)


def call_seconds(cost: StepCost, num_prompt_tokens: int, num_output_tokens: int, engine: Engine) -> float:
    """One call alone on an idle engine: a prefill step, then one step a token."""
    num_decodes = num_output_tokens - engine.first_token_in_prefill
    first, growth = cost.decode_run(1, num_prompt_tokens + 1)
    decode = num_decodes * first + growth * num_decodes * (num_decodes - 1) / 2
    return cost.step(0, 0, [(num_prompt_tokens, 0)]) + decode


def chain_applications(data: Path, system: str) -> list[tuple[int, list[int], int, float]]:
    """Published chains as (article, prompt tokens per call, output tokens, seconds).

    A prompt holds the chunk (real tokens, not the nominal size) and the output of the call before.
    """
    published = pd.read_csv(data / "parrot" / "measured_fig11_chain_chunk_size.csv")
    chunks = pd.read_csv(data / "parrot" / "arxiv_chunk_tokens.csv.gz").sort_values("chunk_index")
    tokens = chunks.groupby(["article", "nominal_chunk_size"]).llama_tokens.agg(list)
    return [
        (
            int(row.article.removeprefix("article_")),
            [count + (row.output_len if index else 0) for index, count in enumerate(tokens[row.article, row.chunk])],
            row.output_len,
            row.time_s,
        )
        for row in published[published.system == system].rename(columns={"nominal_chunk_size": "chunk"}).itertuples()
    ]


def with_engine(terms: Terms, host_seconds: float, prefill_factor: float) -> Terms:
    """Kernel terms under an engine: host time on every step, and prefill beyond streaming the weights made longer."""
    base = terms.dense.seconds[0]
    dense = [base + prefill_factor * (seconds - base) for seconds in terms.dense.seconds]
    return msgspec.structs.replace(
        terms,
        dense=curve_table(terms.dense.counts, dense),
        seconds_per_attention_pair=rounded(prefill_factor * terms.seconds_per_attention_pair),
        seconds_per_prefill_token=rounded(prefill_factor * terms.seconds_per_prefill_token),
        seconds_per_step=rounded(host_seconds),
        synchronous_seconds_per_step=0.0,  # already in seconds_per_step: these engines have no other mode
        synchronous_seconds_per_decode=0.0,
    )


def fit_engine(engine: Engine, kernels: Profile, data: Path) -> tuple[Terms, float, float, tuple[Residual, ...]]:
    """Terms, host seconds a step, prefill factor and residuals of a 13B engine."""
    costs = [
        msgspec.structs.replace(kernels, terms=with_engine(kernels.terms, host, factor)).step_cost(False)
        for host, factor in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    ]
    applications = chain_applications(data, engine.system)
    seconds = np.array([time for *_, time in applications])
    # A chain's time is linear in both numbers: evaluate at the corners. The network is known.
    corners = np.array(
        [[sum(call_seconds(c, n, out, engine) for n in prompts) for c in costs] for _, prompts, out, _ in applications]
    )
    network = engine.network_seconds * np.array([len(prompts) for _, prompts, _, _ in applications])
    known = corners[:, 0] + network
    matrix = corners[:, 1:] - corners[:, :1]
    even = np.array([article % 2 == 0 for article, *_ in applications])
    host, factor = huber_lstsq(matrix[even], (seconds - known)[even], seconds[even])
    predicted = known + matrix @ np.array([host, factor])
    residuals = (
        residual("figure 11 chains, even articles", predicted[even], seconds[even], fitted=True),
        residual("figure 11 chains, odd articles", predicted[~even], seconds[~even], fitted=False),
    )
    return with_engine(kernels.terms, host, factor), float(host), float(factor), residuals


def launch_bound_host(host: float, kernels_13b: Profile, kernels_7b: Profile) -> float:
    """Host seconds of a 7B step such that whole one-call steps take time in proportion to the number of layers."""
    one_call = [
        kernels.terms.dense.seconds[0] + kernels.terms.decode_batch.seconds[0] for kernels in (kernels_13b, kernels_7b)
    ]
    layers = kernels_7b.model.num_layers / kernels_13b.model.num_layers
    return max(0.0, layers * (one_call[0] + host) - one_call[1])


def profiles(data: Path) -> list[Profile]:
    """All six profiles."""
    kernels_7b, kernels_13b = (kernel_profiles.fit(build, data) for build in kernel_profiles.BUILDS[:2])
    made = []
    for engine in ENGINES:
        terms, host, factor, residuals = fit_engine(engine, kernels_13b, data)
        made.append(_profile(engine, kernels_13b, terms, residuals))
        host_7b = launch_bound_host(host, kernels_13b, kernels_7b) if engine.is_launch_bound else host
        made.append(_profile(engine, kernels_7b, with_engine(kernels_7b.terms, host_7b, factor), ()))
    return made


def _profile(engine: Engine, kernels: Profile, terms: Terms, residuals: tuple[Residual, ...]) -> Profile:
    is_parrot = engine.suffix == "parrot"
    # The notes name 4000 blocks for the 13B engine on one GPU and a step limit of 2048 tokens, which the published code
    # of that commit sets to 2560. Published runs on this engine have prompts of up to 6,943 tokens.
    num_blocks = 4000 if is_parrot and kernels.model.num_layers == 40 else kernels.engine_defaults.num_blocks
    return Profile(
        name=f"{kernels.name}-{engine.suffix}",
        measurement=Measurement(
            gpu=kernels.measurement.gpu,
            engine=engine.title,
            engine_version=engine.version,
            date="2023 to 2024 (published times)",
            sources=(
                "parrot measured_fig11_chain_chunk_size and arxiv_chunk_tokens (MIT)",
                *kernels.measurement.sources[:2],
            ),
            method=" ".join((__doc__ or "").split("\n\n")[2].split()),
        ),
        model=kernels.model,
        tensor_parallel=1,
        terms=terms,
        domain=kernels.domain,  # single calls were measured; larger batches follow the kernel tables
        residuals=residuals,
        overheads=Overheads(release=RELEASE_SECONDS if is_parrot else 0.0),
        engine_defaults=EngineDefaults(num_blocks, 16, 8192, 256, 2560, kernels.engine_defaults.kv_bytes_per_token),
        scheduler=engine.scheduler,
    )


def main() -> None:
    """Fit, print residuals, write the profiles."""
    options = arguments(__doc__)
    for profile in profiles(options.data):
        write_profile(profile, options.out)
        print(f"  host {profile.terms.seconds_per_step * 1e3:.2f} ms a step")


if __name__ == "__main__":
    main()
