"""Build profiles from tables of measured kernels: `python -m sim.fitting.kernel_profiles --data DATA`.

Writes a100-llama-7b, a100-llama-13b, a100-llama-13b-tp2, a100-llama-13b-tp4 and h100-llama-13b-tp2.

Layers come from Vidur's operator profiles (internlm-20b has Llama-13B's layer), attention, output head and all-reduce
from AIConfigurator's tables of vLLM 0.14 kernels, synchronous host time from Vidur's CPU profile. Every second token
count and every second context length is held out. Host overheads and free memory are those of the measured H100 engine,
which has as much memory. Nothing was fitted to whole steps; where whole steps were measured, they are predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from scipy.optimize import nnls

from sim.fitting import h100_runs, kernels
from sim.fitting.linear import rises, robust_nnls
from sim.fitting.output import LLAMA_7B, LLAMA_13B, arguments, constant, curve_table, residual, rounded, write_profile
from sim.profile import CurveTable, Domain, EngineDefaults, Measurement, ModelShape, Profile, Residual, Terms
from sim.step_cost import Curve

DENSE_KNOTS = (1, 16, 64, 128, 256, 512, 1024, 2048, 4096)
BATCH_KNOTS = (1, 2, 4, 8, 16, 32, 64, 128)
#: All-reduce sizes from few tokens up to a step of 4096; the custom kernel gives way to NCCL between 8 and 16 MB.
REDUCE_KNOTS = (1, 16, 64, 128, 256, 512, 1024, 2048, 4096)
CONTEXTS = (128, 4096)  # tokens a call attends to, between which decode attention is fitted

#: Bytes for weights and KV cache on one 80 GB GPU, from the measured H100 engine: 3801 blocks of 16 tokens of 819,200
#: bytes, and 24.3 GiB of fp16 weights.
USABLE_BYTES = 3801 * 16 * 819_200 + 24.3 * 2**30


@dataclass(frozen=True, slots=True)
class Build:
    """One profile to build: its GPU, model, tensor parallelism, layer table and the sources to name."""

    name: str
    gpu: str
    model: ModelShape
    tensor_parallel: int
    layers: str


BUILDS = (
    Build("a100-llama-7b", "a100", LLAMA_7B, 1, "a100_llama-2-7b_mlp"),
    Build("a100-llama-13b", "a100", LLAMA_13B, 1, "a100_internlm-20b_mlp"),
    Build("a100-llama-13b-tp2", "a100", LLAMA_13B, 2, "a100_internlm-20b_mlp"),
    Build("a100-llama-13b-tp4", "a100", LLAMA_13B, 4, "a100_internlm-20b_mlp"),
    Build("h100-llama-13b-tp2", "h100", LLAMA_13B, 2, "h100_internlm-20b_mlp"),
)


def fit_curve(counts: np.ndarray, seconds: np.ndarray, knots: tuple[int, ...]) -> CurveTable:
    """Monotone curve through measured points."""
    matrix = np.array([[1.0, *rises(count, knots)] for count in counts])
    return curve_table(knots, np.cumsum(robust_nnls(matrix, seconds)))


def dense_curve(build: Build, gpu_cost: Path) -> tuple[CurveTable, Residual]:
    """Layers and output head by tokens in the step; odd table rows are held out."""
    table = gpu_cost / "vidur" / f"{build.layers}.csv.gz"
    seconds = kernels.layer_seconds(table, build.model.num_layers, build.tensor_parallel)
    seconds += kernels.output_head_seconds(gpu_cost / "aiconfigurator", build.gpu, build.model, build.tensor_parallel)
    fitted, held = seconds.iloc[::2], seconds.iloc[1::2]
    table_fit = fit_curve(fitted.index.to_numpy(float), fitted.to_numpy(), DENSE_KNOTS)
    curve = Curve(table_fit.counts, table_fit.seconds)
    predicted = [curve(int(count)) for count in held.index]
    return table_fit, residual("layers and output head, every second token count", predicted, held, fitted=False)


def decode_curves(build: Build, gpu_cost: Path) -> tuple[CurveTable, CurveTable, Residual]:
    """Decode attention as ``batch(d) + context(d) * C``; every second context length is held out."""
    rows = kernels.decode_attention(gpu_cost / "aiconfigurator", build.gpu, build.model, build.tensor_parallel)
    rows = rows[rows.context.between(*CONTEXTS)]
    table = rows.pivot_table(index="num_decodes", columns="context", values="seconds").sort_index()
    at_knots = {
        context: np.interp(BATCH_KNOTS, column.dropna().index, column.dropna(), right=np.nan)
        for context, column in table.items()
    }
    contexts = sorted(at_knots, reverse=True)
    fixed, slopes = zip(*(_affine(index, contexts[::2], at_knots) for index in range(len(BATCH_KNOTS))), strict=True)
    batch, context_cost = np.maximum.accumulate(fixed), np.array(slopes)
    predicted, measured = [], []
    for context in contexts[1::2]:
        known = ~np.isnan(at_knots[context])
        predicted += list((batch + context_cost * context * np.array(BATCH_KNOTS))[known])
        measured += list(at_knots[context][known])
    held = residual("decode attention alone, every second context length", predicted, measured, fitted=False)
    return curve_table(BATCH_KNOTS, batch), curve_table(BATCH_KNOTS, context_cost), held


def _affine(index: int, contexts: list[int], at_knots: dict[int, np.ndarray]) -> tuple[float, float]:
    """Fixed seconds and seconds a context token of the batch at one knot."""
    known = [context for context in contexts if not np.isnan(at_knots[context][index])]
    seconds = np.array([at_knots[context][index] for context in known])
    tokens = BATCH_KNOTS[index] * np.array(known, dtype=float)
    fixed, slope = nnls(np.column_stack([np.ones(len(known)), tokens]) / seconds[:, None], np.ones(len(known)))[0]
    return float(fixed), float(slope)


def all_reduce_curve(build: Build, gpu_cost: Path) -> CurveTable:
    """All-reduces of a step by its tokens; none without tensor parallelism."""
    if build.tensor_parallel == 1:
        return constant(0.0)
    seconds = kernels.all_reduce_seconds(gpu_cost / "aiconfigurator", build.gpu, build.model, build.tensor_parallel)
    return curve_table(REDUCE_KNOTS, np.interp(REDUCE_KNOTS, seconds.index.to_numpy(), seconds.to_numpy()))


def synchronous_host(gpu_cost: Path, tensor_parallel: int) -> tuple[float, float]:
    """Host seconds per step and per decoding call between synchronous steps.

    Scheduling, input preparation, sampling and output processing of Vidur's CPU profile (an A100 host, 2024), without
    the time its Ray workers communicate: of Llama-2-7B on one GPU, of internlm-20b on two for tensor parallelism.
    """
    rows = pd.read_csv(gpu_cost / "vidur" / "a100_cpu_overheads.csv")
    model, degree = ("meta-llama/Llama-2-7b-hf", 1) if tensor_parallel == 1 else ("internlm/internlm-20b", 2)
    rows = rows[(rows.model_name == model) & (rows.tensor_parallel_degree == degree)]
    parts = ["schedule_median", "prepare_inputs_e2e_median", "sampler_e2e_median", "process_model_outputs_median"]
    matrix = np.column_stack([np.ones(len(rows)), rows.batch_size])
    per_step, per_decode = nnls(matrix, rows[parts].sum(axis=1).to_numpy() / 1e3)[0]
    return float(per_step), float(per_decode)


def engine_defaults(model: ModelShape, tensor_parallel: int) -> EngineDefaults:
    """vLLM's limits, and the KV blocks that fit beside fp16 weights on 80 GB GPUs at 0.90 utilisation."""
    attention = model.hidden_size * (model.num_heads + 2 * model.num_kv_heads) * model.head_dim + model.hidden_size**2
    parameters = model.num_layers * (attention + 3 * model.hidden_size * model.intermediate_size)
    weights = 2 * (parameters + 2 * model.vocab_size * model.hidden_size)
    kv_bytes = model.kv_bytes_per_token()
    num_blocks = int((tensor_parallel * USABLE_BYTES - weights) // (16 * kv_bytes))
    return EngineDefaults(num_blocks, 16, 4096, 256, 2048, kv_bytes)


def fit(build: Build, data: Path) -> Profile:
    """The profile of one build."""
    terms, residuals = kernel_terms(build, data / "gpu_cost")
    defaults = engine_defaults(build.model, build.tensor_parallel)
    profile = Profile(
        name=build.name,
        measurement=_measurement(build),
        model=build.model,
        tensor_parallel=build.tensor_parallel,
        terms=terms,
        domain=Domain(4096, BATCH_KNOTS[-1], defaults.num_blocks * defaults.block_size, CONTEXTS[-1]),
        residuals=residuals,
        overheads=h100_runs.measured_overheads(data / "measured_h100_13b"),
        engine_defaults=defaults,
    )
    return msgspec.structs.replace(profile, residuals=(*residuals, *whole_steps(profile, build, data)))


def kernel_terms(build: Build, gpu_cost: Path) -> tuple[Terms, tuple[Residual, ...]]:
    """Terms of a step summed from kernels, and the residuals of each group of kernels."""
    dense, dense_residual = dense_curve(build, gpu_cost)
    batch, context, decode_residual = decode_curves(build, gpu_cost)
    rows, (per_prefill, per_token, per_pair) = kernels.prefill_attention(
        gpu_cost / "aiconfigurator", build.gpu, build.model, build.tensor_parallel
    )
    isl = rows.isl.to_numpy(float)
    prefill = per_prefill + per_token * isl + per_pair * isl * (isl + 1) / 2
    prefill_residual = residual("prefill attention alone, prompts of 256 to 4096", prefill, rows.seconds, fitted=True)
    per_step, per_decode = synchronous_host(gpu_cost, build.tensor_parallel)
    terms = Terms(
        dense=dense,
        decode_batch=batch,
        decode_context=context,
        all_reduce=all_reduce_curve(build, gpu_cost),
        seconds_per_attention_pair=rounded(per_pair),
        seconds_per_prefill_token=rounded(per_token),
        seconds_per_prefill=rounded(per_prefill),
        seconds_per_step=0.0,
        synchronous_seconds_per_step=rounded(per_step),
        synchronous_seconds_per_decode=rounded(per_decode),
    )
    return terms, (dense_residual, decode_residual, prefill_residual)


def whole_steps(profile: Profile, build: Build, data: Path) -> list[Residual]:
    """Predictions of measured whole steps that took no part: those of MuxServe's synchronous engine on one A100."""
    path = data / "gpu_cost" / "muxserve_a100_llama_step_ms.csv"
    if build.gpu != "a100" or build.tensor_parallel > 1 or not path.exists():
        return []
    rows = pd.read_csv(path)
    rows = rows[(rows.model == build.model.name.lower()) & (rows.num_gpus == 1) & (rows.sm_percent == 100)]
    cost = profile.step_cost(async_scheduling=False)
    decodes = rows[(rows.decode_ms > 0) & (rows.batch_size <= 128)]
    prefills = rows[(rows.prefill_ms > 0) & (rows.batch_size * rows.seq_len <= 4096)]
    return [
        residual(
            "whole decode steps of MuxServe, batch 1 to 128",
            [cost.step(b, b * s, ()) for b, s in zip(decodes.batch_size, decodes.seq_len, strict=True)],
            decodes.decode_ms / 1e3,
            fitted=False,
        ),
        residual(
            "whole prefill steps of MuxServe, up to 4096 tokens",
            [cost.step(0, 0, [(s, 0)] * b) for b, s in zip(prefills.batch_size, prefills.seq_len, strict=True)],
            prefills.prefill_ms / 1e3,
            fitted=False,
        ),
    ]


def _measurement(build: Build) -> Measurement:
    gpu = "NVIDIA A100 80GB (SXM)" if build.gpu == "a100" else "NVIDIA H100 80GB (SXM)"
    tables = ["context attention", "generation attention", "matrix product"]
    if build.tensor_parallel > 1:
        tables.append("custom all-reduce")
    return Measurement(
        gpu=gpu,
        engine="vLLM (kernel tables, no whole engine)",
        engine_version="0.14.0 kernels",
        date="2024 to 2026 (published tables)",
        sources=(
            f"gpu_cost/vidur {build.layers} and a100_cpu_overheads (MIT)",
            f"gpu_cost/aiconfigurator {build.gpu} {', '.join(tables)}, vLLM 0.14.0 (Apache-2.0)",
            "measured_h100_13b: client and engine overheads (measured for this project)",
        ),
        method=" ".join((__doc__ or "").split("\n\n")[2].split()),
    )


def method_check(data: Path) -> list[Residual]:
    """The same method on one H100 against the steps measured there: how far kernel tables are from an engine."""
    build = Build("h100-llama-13b", "h100", LLAMA_13B, 1, "h100_internlm-20b_mlp")
    cost = fit(build, data).step_cost(async_scheduling=True)
    folder = data / "measured_h100_13b"
    return [
        h100_runs.window_residual(
            f"same method with one GPU, against measured H100 steps of {scenario}",
            h100_runs.measured_windows(folder, scenario),
            cost,
        )
        for scenario in ("chain_lat0", "burst128", "poisson_r5")
    ]


def complete(build: Build, data: Path) -> Profile:
    """The profile with every check that the data allows."""
    profile = fit(build, data)
    if build.gpu != "h100":
        return profile
    return msgspec.structs.replace(profile, residuals=(*profile.residuals, *method_check(data)))


def main() -> None:
    """Build, print residuals, write the profiles."""
    options = arguments(__doc__)
    for build in BUILDS:
        write_profile(complete(build, options.data), options.out)


if __name__ == "__main__":
    main()
