"""Fit `h100-llama-13b` to vLLM 0.24.0 measured on one H100: `python -m sim.fitting.h100_vllm --data DATA`.

Fitted on: the table of single steps (`probe.json`, synchronous), the steps of `chain_lat0` and `mr15_w2`, the first run
of `burst128`. Held out: the second run of `burst128`, `poisson_r5` and `chat24`. The time of a query-key pair within
prefill is taken from a table of vLLM kernels, because long prompts alone cannot tell it from the cost of a token.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from sim.fitting import kernels
from sim.fitting.linear import Knots, features, robust_nnls
from sim.fitting.output import LLAMA_13B, arguments, constant, curve_table, residual, rounded, write_profile
from sim.fitting.timelines import StepPoint, full_decode_steps, load_runs, stretches_of_run, windows
from sim.profile import Domain, EngineDefaults, Measurement, Overheads, Profile, Residual, Terms
from sim.step_cost import StepCost

KNOTS = Knots(dense=(1, 128, 256, 512, 1024, 2048, 4096), decode_batch=(1, 16, 64, 128))
TOKEN_BUDGET = 2048  # max_num_batched_tokens of the measured runs
NUM_BLOCKS, BLOCK_SIZE = 3801, 16  # as the measured engine reported them

#: Columns beside the terms of a step: synchronous host time per step and per decoding call; what a whole one-token run
#: of the probe adds to its prefill step; what a prefill on an idle engine adds. The third is not part of a profile.
SYNC_STEP, SYNC_DECODE, PROBE_PREFILL, IDLE_PREFILL = np.eye(4)
NOTHING = np.zeros(4)

#: Decode steps of the probe ran over 40 output tokens, its medians over the last 30 of them.
PROBE_MEAN_OUTPUT = 25

Row = tuple[list[StepPoint], np.ndarray]


def probe_rows(folder: Path) -> list[Row]:
    """Single synchronous steps. Batch 64 at 1024 tokens did not fit the cache and is left out, as its README says."""
    rows: list[Row] = []
    for entry in json.loads((folder / "probe.json").read_text()):
        seconds = entry["ms"] / 1e3
        if entry["kind"] == "prefill":
            rows.append(([StepPoint(seconds, 0, 0, ((entry["tokens"], 0),), "probe prefill")], PROBE_PREFILL))
        elif (entry["batch"], entry["ctx"]) != (64, 1024):
            batch = entry["batch"]
            step = StepPoint(seconds, batch, batch * (entry["ctx"] + PROBE_MEAN_OUTPUT), (), "probe decode")
            rows.append(([step], SYNC_STEP + batch * SYNC_DECODE))
    return rows


def window_rows(folder: Path, scenario: str, runs: slice = slice(None)) -> list[Row]:
    """Windows of consecutive steps of the measured runs."""
    return [
        (window, NOTHING)
        for run in load_runs(folder, scenario)[runs]
        for window in windows(stretches_of_run(run, scenario, TOKEN_BUDGET))
    ]


def idle_prefill_rows(folder: Path) -> list[Row]:
    """Prefills of calls that found the engine idle: from scheduled to first token, in the engine core."""
    return [
        ([StepPoint(row["first_core"] - row["scheduled"], 0, 0, ((row["prompt"], 0),), "idle prefill")], IDLE_PREFILL)
        for run in load_runs(folder, "chain_lat0")
        for row in run["rows"]
    ]


def burst_decode_rows(folder: Path, runs: slice) -> list[Row]:
    """Pure decode steps of the burst after its prefill, with batches up to 98."""
    return [
        ([step], NOTHING)
        for run in load_runs(folder, "burst128")[runs]
        for step in full_decode_steps(run, "burst128 decode", BLOCK_SIZE, NUM_BLOCKS)
    ]


def fit_terms(rows: list[Row], seconds_per_pair: float) -> tuple[Terms, float]:
    """Terms of a step from fitted rows, and what a prefill on an idle engine takes longer, in seconds."""
    matrix = np.array([np.concatenate([sum(features(s, KNOTS) for s in steps), extra]) for steps, extra in rows])
    pairs = [sum(n * c + n * (n + 1) / 2 for step in steps for n, c in step.prefills) for steps, _ in rows]
    seconds = np.array([sum(step.seconds for step in steps) for steps, _ in rows])
    solution = robust_nnls(matrix, seconds - seconds_per_pair * np.array(pairs))
    num_dense, num_batch = len(KNOTS.dense), len(KNOTS.decode_batch)
    batch = np.concatenate([[0.0], solution[num_dense : num_dense + num_batch - 1]])
    per_context, sync_step, sync_decode, _probe, idle = solution[num_dense + num_batch - 1 :]
    terms = Terms(
        dense=curve_table(KNOTS.dense, np.cumsum(solution[:num_dense])),
        decode_batch=curve_table(KNOTS.decode_batch, np.cumsum(batch)),
        decode_context=constant(per_context),
        all_reduce=constant(0.0),
        seconds_per_attention_pair=rounded(seconds_per_pair),
        seconds_per_prefill_token=0.0,
        seconds_per_prefill=0.0,
        seconds_per_step=0.0,
        synchronous_seconds_per_step=rounded(sync_step),
        synchronous_seconds_per_decode=rounded(sync_decode),
    )
    return terms, float(idle)


def window_residual(points: str, rows: list[Row], cost: StepCost, *, fitted: bool) -> Residual:
    """Relative error of the summed duration of each row's steps."""
    predicted = [sum(cost.step(s.num_decodes, s.num_context_tokens, s.prefills) for s in steps) for steps, _ in rows]
    measured = [sum(step.seconds for step in steps) for steps, _ in rows]
    return residual(points, predicted, measured, fitted=fitted)


def measured_overheads(folder: Path) -> Overheads:
    """Medians over calls of the measured runs; what each is stands in `sim.profile.Overheads`."""
    chain = [row for run in load_runs(folder, "chain_lat0") for row in run["rows"]]
    bursts = [run["rows"] for run in load_runs(folder, "burst128")]
    maps = [[row for row in run["rows"] if row["stage"] == "map"] for run in load_runs(folder, "mr15_w2")]
    # Two calls in flight: both are sent within a millisecond; where the second missed the first schedule, the gap is
    # the time the engine core did not look at its queue.
    gaps = [b["scheduled"] - a["scheduled"] for run in maps for a, b in pairwise(run)]
    return Overheads(
        client_to_engine=rounded(float(np.median([row["queued"] - row["dispatch"] for row in chain]))),
        engine_to_client=rounded(float(np.median([row["finish"] - row["last_core"] for row in chain]))),
        submit_interval=rounded(float(np.median(np.diff([row["submit"] for row in bursts[0]])))),
        idle_wakeup=rounded(float(np.median([gap for gap in gaps if 0.005 < gap < 0.05]))),
    )


def fit(data: Path) -> Profile:
    """The profile fitted to the data collection in `data`."""
    folder = data / "measured_h100_13b"
    _, (_, _, per_pair) = kernels.prefill_attention(data / "gpu_cost" / "aiconfigurator", "h100", LLAMA_13B, 1)
    burst = window_rows(folder, "burst128", slice(1)) + burst_decode_rows(folder, slice(1))
    sequential = window_rows(folder, "chain_lat0") + window_rows(folder, "mr15_w2")
    terms, idle_start = fit_terms(probe_rows(folder) + idle_prefill_rows(folder) + sequential + burst, per_pair)
    profile = Profile(
        name="h100-llama-13b",
        measurement=_measurement(),
        model=LLAMA_13B,
        tensor_parallel=1,
        terms=terms,
        domain=Domain(
            max_tokens_per_step=4000, max_decodes=98, max_context_tokens=60_800, max_context_tokens_per_call=4096
        ),
        residuals=(),
        overheads=msgspec.structs.replace(measured_overheads(folder), idle_start=rounded(idle_start)),
        engine_defaults=EngineDefaults(NUM_BLOCKS, BLOCK_SIZE, 4096, 256, TOKEN_BUDGET, LLAMA_13B.kv_bytes_per_token()),
    )
    return msgspec.structs.replace(profile, residuals=tuple(_residuals(profile, folder)))


def _residuals(profile: Profile, folder: Path) -> Iterator[Residual]:
    """Errors on every set of points, those of the fit first."""
    cost, synchronous = profile.step_cost(True), profile.step_cost(False)
    decodes = [row for row in probe_rows(folder) if row[0][0].num_decodes]
    yield window_residual("single synchronous decode steps", decodes, synchronous, fitted=True)
    for scenario in ("chain_lat0", "mr15_w2"):
        label = f"{scenario}, windows of 8 to 16 steps"
        yield window_residual(label, window_rows(folder, scenario), cost, fitted=True)
    for run, label in ((0, "first"), (1, "second")):
        rows = window_rows(folder, "burst128", slice(run, run + 1)) + burst_decode_rows(folder, slice(run, run + 1))
        points = f"burst128 {label} run, prefill windows and decode steps"
        yield window_residual(points, rows, cost, fitted=run == 0)
    for scenario in ("poisson_r5", "chat24"):
        shares = " (calls share cached prefixes)" if scenario == "chat24" else ""
        label = f"{scenario}{shares}, windows of 8 to 16 steps"
        yield window_residual(label, window_rows(folder, scenario), cost, fitted=False)


def _measurement() -> Measurement:
    return Measurement(
        gpu="NVIDIA H100 80GB",
        engine="vLLM",
        engine_version="0.24.0",
        date="2026 (day not recorded)",
        sources=(
            "measured_h100_13b: probe, chain_lat0, mr15_w2, burst128 (measured for this project)",
            "gpu_cost/aiconfigurator H100 context attention, vLLM 0.14.0 (Apache-2.0): time of a query-key pair",
        ),
        method=" ".join((__doc__ or "").split("\n\n")[1].split()),
    )


def main() -> None:
    """Fit, print residuals, write the profile."""
    options = arguments(__doc__)
    write_profile(fit(options.data), options.out)


if __name__ == "__main__":
    main()
