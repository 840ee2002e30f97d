"""Fit the H100 profiles to vLLM 0.24.0 measured on one H100: `python -m sim.fitting.h100_vllm --data DATA`.

Both carry the terms of the H200 calibration (`h200-llama-13b`): the two cards have the same chip, with memory of 3.35
and 4.8 TB/s. They differ in the steps of the H100 that say what its memory and its host make of them:

* `h100-llama-13b-from-h200`: 28 single synchronous steps (`probe.json`). No run took part. Host times are those of the
  H200's calibration, as synchronous steps alone cannot tell them from the steps.
* `h100-llama-13b`: these, the steps of `chain_lat0` and `mr15_w2`, those of the first run of `burst128`, and the delays
  between client and engine in these runs. Held out: the second run of `burst128`, `poisson_r5` and `chat24`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from sim.fitting.carried import Measured, carry
from sim.fitting.output import LLAMA_13B, arguments, residual, rounded, write_profile
from sim.fitting.timelines import StepPoint, full_decode_steps, load_runs, stretches_of_run, windows
from sim.profile import Domain, EngineDefaults, Measurement, Overheads, Profile, Residual, Terms, load_profile
from sim.step_cost import UNSHARED, Sharing, StepCost

CALIBRATION = "h200-llama-13b"
TOKEN_BUDGET = 2048  # max_num_batched_tokens of the measured runs
NUM_BLOCKS, BLOCK_SIZE = 3801, 16  # as the measured engine reported them

#: Decode steps of the probe ran over 40 output tokens, its medians over the last 30 of them.
PROBE_MEAN_OUTPUT = 25

#: Tokens of the system prompt that all calls of `chat24` share, in whole blocks.
CHAT_SHARED_TOKENS = 592


def probe_rows(folder: Path) -> list[Measured]:
    """Single synchronous steps. Batch 64 at 1024 tokens did not fit the cache and is left out, as its README says.

    Whole one-token runs of a prefill have host time of their own.
    """
    rows = []
    for entry in json.loads((folder / "probe.json").read_text()):
        seconds = entry["ms"] / 1e3
        if entry["kind"] == "prefill":
            step = StepPoint(seconds, 0, 0, ((entry["tokens"], 0),), "probe prefill")
            rows.append(Measured([step], {"whole_run": 1.0}))
        elif (entry["batch"], entry["ctx"]) != (64, 1024):
            batch = entry["batch"]
            step = StepPoint(seconds, batch, batch * (entry["ctx"] + PROBE_MEAN_OUTPUT), (), "probe decode")
            rows.append(Measured([step], {"synchronous_step": 1.0, "synchronous_decode": batch}))
    return rows


def window_rows(folder: Path, scenario: str, runs: slice = slice(None)) -> list[Measured]:
    """Windows of consecutive steps of the measured runs."""
    return [
        Measured(window, {})
        for run in load_runs(folder, scenario)[runs]
        for window in windows(stretches_of_run(run, scenario, TOKEN_BUDGET))
    ]


def idle_prefill_rows(folder: Path) -> list[Measured]:
    """Prefills of calls that found the engine idle: from scheduled to first token, in the engine core."""
    return [
        Measured(
            [StepPoint(row["first_core"] - row["scheduled"], 0, 0, ((row["prompt"], 0),), "idle prefill")],
            {"idle_start": 1.0},
        )
        for run in load_runs(folder, "chain_lat0")
        for row in run["rows"]
    ]


def burst_decode_rows(folder: Path, runs: slice) -> list[Measured]:
    """Pure decode steps of the burst after its prefill, with batches up to 98."""
    return [
        Measured([step], {})
        for run in load_runs(folder, "burst128")[runs]
        for step in full_decode_steps(run, "burst128 decode", BLOCK_SIZE, NUM_BLOCKS)
    ]


def window_residual(
    points: str, rows: list[Measured], cost: StepCost, *, fitted: bool, num_shared_tokens: int = 0
) -> Residual:
    """Relative error of the summed duration of each row's steps, whose decoding calls all share so many tokens."""
    predicted = [
        sum(
            cost.step(s.num_decodes, s.num_context_tokens, s.prefills, _sharing(s.num_decodes, num_shared_tokens))
            for s in row.steps
        )
        for row in rows
    ]
    return residual(points, predicted, [row.seconds for row in rows], fitted=fitted)


def _sharing(num_decodes: int, num_tokens: int) -> Sharing:
    return Sharing((num_decodes - 1) * num_tokens, num_tokens) if num_tokens and num_decodes > 1 else UNSHARED


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


def fit_to_points(data: Path) -> Profile:
    """The calibration carried by single steps alone; `data` is the data collection."""
    folder = data / "measured_h100_13b"
    calibrated = load_profile(CALIBRATION)
    known = {"batch": 1.0, "synchronous_step": calibrated.terms.synchronous_seconds_per_step}
    terms, _ = carry(calibrated.terms, probe_rows(folder), known)
    return _profile("h100-llama-13b-from-h200", folder, terms, calibrated.overheads, runs=())


def fit_to_runs(data: Path) -> Profile:
    """The calibration carried by single steps and by the steps of three runs; `data` is the data collection."""
    folder = data / "measured_h100_13b"
    sequential = window_rows(folder, "chain_lat0") + window_rows(folder, "mr15_w2")
    burst = window_rows(folder, "burst128", slice(1)) + burst_decode_rows(folder, slice(1))
    rows = probe_rows(folder) + idle_prefill_rows(folder) + sequential + burst
    terms, found = carry(load_profile(CALIBRATION).terms, rows, {})
    overheads = msgspec.structs.replace(measured_overheads(folder), idle_start=rounded(found["idle_start"]))
    return _profile("h100-llama-13b", folder, terms, overheads, ("chain_lat0", "mr15_w2", "burst128"))


def _profile(name: str, folder: Path, terms: Terms, overheads: Overheads, runs: tuple[str, ...]) -> Profile:
    """The profile of these terms; steps of `runs` took part in their fit."""
    profile = Profile(
        name=name,
        measurement=Measurement(
            gpu="NVIDIA H100 80GB",
            engine="vLLM",
            engine_version="0.24.0",
            date="2026 (day not recorded)",
            sources=(
                f"measured_h100_13b: {', '.join(('probe', *runs))} (measured for this project)",
                f"profile {CALIBRATION} (measured for this project)",
            ),
            method=" ".join((__doc__ or "").split("\n\n", 1)[1].split()),
        ),
        model=LLAMA_13B,
        tensor_parallel=1,
        terms=terms,
        domain=Domain(
            max_tokens_per_step=4000, max_decodes=98, max_context_tokens=60_800, max_context_tokens_per_call=4096
        ),
        residuals=(),
        overheads=overheads,
        engine_defaults=EngineDefaults(NUM_BLOCKS, BLOCK_SIZE, 4096, 256, TOKEN_BUDGET, LLAMA_13B.kv_bytes_per_token()),
    )
    return msgspec.structs.replace(profile, residuals=tuple(_residuals(profile, folder, runs)))


def _residuals(profile: Profile, folder: Path, runs: tuple[str, ...]) -> Iterator[Residual]:
    """Errors on every set of points, those of the fit first."""
    cost, synchronous = profile.step_cost(True), profile.step_cost(False)
    decodes = [row for row in probe_rows(folder) if "synchronous_step" in row.host]
    yield window_residual("single synchronous decode steps", decodes, synchronous, fitted=True)
    for scenario in ("chain_lat0", "mr15_w2"):
        label = f"{scenario}, windows of 8 to 16 steps"
        yield window_residual(label, window_rows(folder, scenario), cost, fitted=scenario in runs)
    for run, label in ((0, "first"), (1, "second")):
        rows = window_rows(folder, "burst128", slice(run, run + 1)) + burst_decode_rows(folder, slice(run, run + 1))
        points = f"burst128 {label} run, prefill windows and decode steps"
        yield window_residual(points, rows, cost, fitted="burst128" in runs and run == 0)
    rows = window_rows(folder, "poisson_r5")
    yield window_residual("poisson_r5, windows of 8 to 16 steps", rows, cost, fitted=False)
    rows, label = window_rows(folder, "chat24"), "chat24 (calls share a prefix), windows of 8 to 16 steps"
    yield window_residual(label, rows, cost, fitted=False, num_shared_tokens=CHAT_SHARED_TOKENS)


def main() -> None:
    """Fit, print residuals, write the profiles."""
    options = arguments(__doc__)
    for fit in (fit_to_points, fit_to_runs):
        write_profile(fit(options.data), options.out)


if __name__ == "__main__":
    main()
