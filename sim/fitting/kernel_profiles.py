"""Build profiles from tables of measured kernels: `python -m sim.fitting.kernel_profiles --data DATA`.

Writes a100-llama-7b, a100-llama-13b, a100-llama-13b-tp2, a100-llama-13b-tp4 and h100-llama-13b-tp2.

Layers come from Vidur's operator profiles (internlm-20b has Llama-13B's layer), attention, output head and all-reduce
from AIConfigurator's tables of vLLM 0.14 kernels, synchronous host time from Vidur's CPU profile. Every second token
count, context length and prompt length is held out. Host overheads and free memory are those of the measured H100
engine, which has as much memory. Nothing was fitted to whole steps that were measured; those are predicted.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from scipy.optimize import nnls

from sim.fitting import h100_runs, kernel_checks, kernel_tables
from sim.fitting.kernel_tables import BATCH_KNOTS, CONTEXTS, Build, KernelTables
from sim.fitting.linear import rises, robust_nnls
from sim.fitting.output import LLAMA_7B, LLAMA_13B, arguments, constant, curve_table, residual, rounded, write_profile
from sim.profile import CurveTable, Domain, EngineDefaults, Measurement, ModelShape, Profile, Residual, Terms
from sim.step_cost import Curve


def _tile_edges(*, tile: int, up_to: int) -> tuple[int, ...]:
    """The last token count of every tile below `up_to`, and the first of the next."""
    return tuple(edge for tokens in range(tile, up_to, tile) for edge in (tokens, tokens + 1))


#: The last stretch is without tiles, so that its slope holds beyond it.
_WIDE_TILES = (*_tile_edges(tile=128, up_to=3072), 3072, 4096)

#: Knots of the dense part that are tried: smooth, and with a rise wherever matrix products take one more tile of 128
#: tokens, or of 64 below 1024 tokens and of 128 above. The tables have multiples of 8 or 32 tokens, so that the rise
#: between the last token of a tile and the first of the next is an assumption.
DENSE_FORMS = (
    (1, 16, 64, 128, 256, 512, 1024, 2048, 4096),
    (1, 16, 64, *_WIDE_TILES),
    tuple(sorted({1, 16, *_tile_edges(tile=64, up_to=1024), *_WIDE_TILES})),
)
#: All-reduce sizes from few tokens up to a step of 4096; the custom kernel gives way to NCCL between 8 and 16 MB.
REDUCE_KNOTS = (1, 16, 64, 128, 256, 512, 1024, 2048, 4096)

#: Bytes for weights and KV cache on one 80 GB GPU, from the measured H100 engine: 3801 blocks of 16 tokens of 819,200
#: bytes, and 24.3 GiB of fp16 weights.
USABLE_BYTES = 3801 * 16 * 819_200 + 24.3 * 2**30


BUILDS = (
    Build("a100-llama-7b", "a100", LLAMA_7B, 1, "a100_llama-2-7b_mlp"),
    Build("a100-llama-13b", "a100", LLAMA_13B, 1, "a100_internlm-20b_mlp"),
    Build("a100-llama-13b-tp2", "a100", LLAMA_13B, 2, "a100_internlm-20b_mlp"),
    Build("a100-llama-13b-tp4", "a100", LLAMA_13B, 4, "a100_internlm-20b_mlp"),
    Build("h100-llama-13b-tp2", "h100", LLAMA_13B, 2, "h100_internlm-20b_mlp"),
)


def dense_curve(seconds: pd.Series) -> tuple[CurveTable, Residual]:
    """Layers and output head by tokens in the step; odd rows are held out.

    The knots are those of `DENSE_FORMS` with the smallest error when each half of the other rows, taken in turns, is
    predicted from the other half.
    """
    fitted, held = seconds.iloc[::2], seconds.iloc[1::2]
    halves = fitted.iloc[::2], fitted.iloc[1::2]
    folds = (halves, halves[::-1])
    knots = min(DENSE_FORMS, key=lambda knots: sum(_mean_error(_fitted(a, knots), b) for a, b in folds))
    table = _fitted(fitted, knots)
    curve = Curve(table.counts, table.seconds)
    label = "layers and output head, every second token count"
    return table, residual(label, [curve(int(count)) for count in held.index], held, fitted=False)


def _fitted(seconds: pd.Series, knots: tuple[int, ...]) -> CurveTable:
    """Curve through measured points that never falls."""
    matrix = np.array([[1.0, *rises(count, knots)] for count in seconds.index.to_numpy(float)])
    return curve_table(knots, np.cumsum(robust_nnls(matrix, seconds.to_numpy())))


def _mean_error(table: CurveTable, measured: pd.Series) -> float:
    curve = Curve(table.counts, table.seconds)
    return float(np.mean([abs(curve(int(count)) / seconds - 1) for count, seconds in measured.items()]))


def decode_curves(tables: KernelTables) -> tuple[CurveTable, CurveTable, Residual]:
    """Decode attention as ``batch(d) + context(d) * C``; every second context length is held out."""
    held_out = tables.held_out_contexts
    fitted = tables.decode.drop(columns=held_out)
    fixed, slopes = zip(*(_affine(batch, fitted.loc[batch].dropna()) for batch in BATCH_KNOTS), strict=True)
    batch, context_cost = np.maximum.accumulate(fixed), np.array(slopes)
    predicted, measured = [], []
    for context in held_out:
        column = tables.decode[context].to_numpy()
        known = ~np.isnan(column)
        predicted += list((batch + context_cost * context * np.array(BATCH_KNOTS))[known])
        measured += list(column[known])
    held = residual("decode attention alone, every second context length", predicted, measured, fitted=False)
    return curve_table(BATCH_KNOTS, batch), curve_table(BATCH_KNOTS, context_cost), held


def _affine(batch: int, seconds: pd.Series) -> tuple[float, float]:
    """Fixed seconds and seconds a context token of a batch, from its attention by context of each call."""
    tokens = batch * seconds.index.to_numpy(float)
    matrix = np.column_stack([np.ones(len(seconds)), tokens]) / seconds.to_numpy()[:, None]
    fixed, slope = nnls(matrix, np.ones(len(seconds)))[0]
    return float(fixed), float(slope)


def prefill_costs(tables: KernelTables) -> tuple[np.ndarray, Residual]:
    """Attention of a prompt: fixed, per token and per query-key pair; every second prompt length is held out."""
    is_held = tables.prefill.num_tokens.isin(tables.held_out_prompts)
    tokens, seconds = tables.prefill.num_tokens.to_numpy(float), tables.prefill.seconds.to_numpy()
    matrix = np.column_stack([np.ones(len(tokens)), tokens, tokens * (tokens + 1) / 2])
    costs = nnls(matrix[~is_held] / seconds[~is_held, None], np.ones((~is_held).sum()))[0]
    label = "prefill attention alone, every second prompt length"
    return costs, residual(label, matrix[is_held] @ costs, seconds[is_held], fitted=False)


def all_reduce_curve(seconds: pd.Series | None) -> CurveTable:
    """All-reduces of a step by its tokens; none without tensor parallelism."""
    if seconds is None:
        return constant(0.0)
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
    tables = kernel_tables.read(build, data / "gpu_cost")
    terms, residuals = kernel_terms(build, tables, data / "gpu_cost")
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
    steps = kernel_checks.assembled_steps(profile.step_cost(async_scheduling=True), tables)
    steps += kernel_checks.muxserve_steps(profile.step_cost(async_scheduling=False), build, data)
    return msgspec.structs.replace(profile, residuals=(*residuals, *steps))


def kernel_terms(build: Build, tables: KernelTables, gpu_cost: Path) -> tuple[Terms, tuple[Residual, ...]]:
    """Terms of a step summed from kernels, and the residuals of each group of kernels."""
    dense, dense_residual = dense_curve(tables.dense)
    batch, context, decode_residual = decode_curves(tables)
    (per_prefill, per_token, per_pair), prefill_residual = prefill_costs(tables)
    per_step, per_decode = synchronous_host(gpu_cost, build.tensor_parallel)
    terms = Terms(
        dense=dense,
        decode_batch=batch,
        decode_context=context,
        all_reduce=all_reduce_curve(tables.all_reduce),
        seconds_per_attention_pair=rounded(per_pair),
        seconds_per_prefill_token=rounded(per_token),
        seconds_per_prefill=rounded(per_prefill),
        seconds_per_step=0.0,
        synchronous_seconds_per_step=rounded(per_step),
        synchronous_seconds_per_decode=rounded(per_decode),
    )
    return terms, (dense_residual, decode_residual, prefill_residual)


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
