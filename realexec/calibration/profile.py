"""From a raw measurement to a profile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from realexec.calibration.overheads import measured_overheads
from realexec.calibration.raw import RawMeasurement
from realexec.calibration.replay import replayed
from realexec.calibration.samples import samples_of
from sim.fitting.calibrated import CalibratedFit, fit
from sim.fitting.datasheet import num_parallel_calls
from sim.fitting.samples import Sample
from sim.profile import Domain, EngineDefaults, Measurement, ModelShape, Profile, check_profile, load_profile

_VIRTUAL = "virtual (profile "

_METHOD = (
    "Fitted to the steps of a calibration (dovetail calibrate): decode staircases, prefills beside decoding calls, "
    "calls that share prefixes, calls into an idle engine. Of windows that were measured several times the median "
    "counts. A fifth was held out, drawn at random: of the points, and of the different windows with prefills beside "
    "each background; the form was chosen by cross-validation over the others."
)


def calibrated_profile(name: str, raw: RawMeasurement, model: ModelShape) -> tuple[Profile, list[Sample], list[str]]:
    """Fit a raw measurement.

    Parameters
    ----------
    name : str
    raw : RawMeasurement
    model : ModelShape

    Returns
    -------
    profile : Profile
    samples : list of Sample
        What it was fitted to, and what was held out, with every repeat.
    warnings : list of str
        One line for each point that could not be followed.

    Raises
    ------
    ValueError
        When too little was measured for a fit.
    """
    parallel = _num_parallel_calls(raw.engine, model)
    # A virtual device charges calls as in random order, whatever their order is.
    steps, warnings = replayed(raw, 0 if _virtual_profile(raw.engine) else parallel)
    # The workers of several GPUs are processes of their own, and launch what the core sends them.
    samples = samples_of(steps, core_launches=raw.engine["tensor_parallel_size"] == 1)
    if len({sample.point for sample in samples if sample.kind != "client" and not sample.held_out}) < 5:
        raise ValueError("fewer than five points were measured: too few for a fit")
    found = fit(samples, tuple(raw.engine["settings"].get("cudagraph_capture_sizes", ())), parallel)
    profile = _profile(name, raw, model, samples, found)
    check_profile(profile, name)
    return profile, samples, warnings


def _profile(
    name: str, raw: RawMeasurement, model: ModelShape, samples: Sequence[Sample], found: CalibratedFit
) -> Profile:
    engine = raw.engine
    return Profile(
        name=name,
        measurement=_measurement(engine),
        model=model,
        tensor_parallel=engine["tensor_parallel_size"],
        terms=found.terms,
        domain=_domain(raw, samples),
        residuals=found.residuals,
        overheads=measured_overheads(raw, found.idle_start),
        engine_defaults=EngineDefaults(
            num_blocks=engine["num_blocks"],
            block_size=engine["block_size"],
            max_model_len=engine["max_model_len"],
            max_num_seqs=engine["max_num_seqs"],
            max_num_batched_tokens=engine["settings"]["max_num_batched_tokens"],
            kv_bytes_per_token=model.kv_bytes_per_token(),
        ),
        forms=found.forms,
        uncertainty=found.uncertainty,
    )


def _num_parallel_calls(engine: dict[str, Any], model: ModelShape) -> int:
    """Calls whose attention runs at the same time; those of its profile on a virtual device."""
    if name := _virtual_profile(engine):
        return load_profile(name).terms.num_parallel_calls
    return num_parallel_calls(engine["device"], model.num_kv_heads // engine["tensor_parallel_size"])


def _virtual_profile(engine: dict[str, Any]) -> str:
    """Name or file of the profile that a virtual device takes its times from; empty for a GPU."""
    device: str = engine["device"]
    return device.removeprefix(_VIRTUAL).removesuffix(")") if device.startswith(_VIRTUAL) else ""


def _measurement(engine: dict[str, Any]) -> Measurement:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(engine["versions"].items()) if name != "vllm")
    return Measurement(
        gpu=engine["device"],
        engine="vLLM",
        engine_version=engine["versions"]["vllm"],
        date=engine["date"],
        sources=(f"dovetail calibrate: {engine['seconds']:.0f} s of GPU time ({versions})",),
        method=_METHOD,
    )


def _domain(raw: RawMeasurement, samples: Sequence[Sample]) -> Domain:
    lengths = raw.calls.num_prompt_tokens + raw.calls.num_output_tokens
    loads = [load for sample in samples for load in sample.loads]
    return Domain(
        max_tokens_per_step=max(load.num_tokens for load in loads),
        max_decodes=max(load.num_decodes for load in loads),
        max_context_tokens=max(load.num_context_tokens for load in loads),
        max_context_tokens_per_call=int(lengths.max()),
    )
