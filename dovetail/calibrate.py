"""`dovetail calibrate`: a step-cost profile from some minutes of a GPU."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dovetail.options import given_limits, limit_options

if TYPE_CHECKING:
    from realexec.calibration.raw import RawMeasurement
    from realexec.calibration.session import Session, Setup
    from realexec.interface import EngineBackend
    from sim.fitting.samples import Sample
    from sim.profile import ModelShape, Profile


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Profile to write, PROFILE.json.")
@click.option("--overwrite", is_flag=True, help="Replace the profile and its points.")
@click.option(
    "--device",
    type=click.Choice(["gpu", "virtual"]),
    default="gpu",
    show_default=True,
    help="virtual: vLLM as it is, on a device that only waits the step times of --profile.",
)
@click.option("--model", default="llama-13b", show_default=True, help="Built-in shape, or a folder with a config.json.")
@click.option("--dtype", default="float16", show_default=True)
@click.option(
    "--tensor-parallel-size", type=click.IntRange(1), default=1, show_default=True, help="GPUs of the engine."
)
@click.option("--gpu-memory-utilization", type=float, default=0.9, show_default=True)
@click.option(
    "--profile", default="h100-llama-13b", show_default=True, help="Of the virtual device; of the estimates of time."
)
@click.option(
    "--budget",
    type=click.FloatRange(30.0),
    default=600.0,
    show_default=True,
    help="GPU time, seconds, engine starts included; points that would not end in time are left out.",
)
@click.option("--small", is_flag=True, help="A plan of seconds, to see that everything works.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the order and the held-out points."
)
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Fit the points of this folder again; nothing is measured.",
)
@click.option(
    "--continue",
    "continued",
    is_flag=True,
    help="Measure what PROFILE.points lacks, with the same options, and fit everything.",
)
@limit_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def calibrate(out: Path, **options: Any) -> None:
    """Measure the steps of a GPU with vLLM and fit a profile to them.

    Runs small loads through the engine as it is used, with random weights: decode batches of many sizes and contexts,
    prefills beside them, calls that share prefixes, calls into an idle engine; with asynchronous and with synchronous
    scheduling. A fifth of the loads is held out and says how well the profile predicts. Limits left out are those of
    --profile, but on a GPU --max-model-len left out is the model's own.

    Writes PROFILE.json and the folder PROFILE.points with the raw points, the plan, the engines' logs and a picture.
    Interrupted or out of time, it keeps the points that are whole: --from fits them, --continue measures the others.
    """
    from dovetail.calibration_report import print_report, report_rows, write_samples

    if out.suffix != ".json":
        raise ValueError(f"--out {out} must end in .json")
    points = out.with_suffix(".points")
    if options["continued"]:
        _check_continued(points, options)
    else:
        for path in (out, points):
            if path.exists() and path != options["folder"]:
                _replace(path, overwrite=options["overwrite"])
    raw, shape = _measured(points, options) if options["folder"] is None else _read(options)
    profile, samples, warnings = _fitted(out, raw, shape)
    write_samples(points, samples, profile)
    for warning in warnings:
        print(f"dovetail: warning: {warning}", file=sys.stderr)
    if options["as_json"]:
        written = {"profile": str(out), "points": str(points)}
        print(json.dumps({**written, **report_rows(profile, raw, samples), "warnings": warnings}, indent=2))
    else:
        print_report(profile, raw, samples)
        print(f"wrote {out} and {points}")


def _check_continued(points: Path, options: dict[str, Any]) -> None:
    """Refuse what --continue cannot go with.

    Raises
    ------
    ValueError
    """
    if options["overwrite"] or options["folder"] is not None:
        other = "--overwrite" if options["overwrite"] else "--from"
        raise ValueError(f"--continue adds to {points}; it cannot go with {other}")
    if not points.is_dir():
        raise ValueError(f"{points} is not there, so there is nothing to --continue")


def _check_asked(engine: dict[str, Any], options: dict[str, Any]) -> None:
    """Refuse, before any engine starts, options that cannot give the engine of the earlier points."""
    from realexec.calibration.continued import check_same_engine

    names = ("model", "dtype", "tensor_parallel_size", "gpu_memory_utilization")
    settings = {**engine["settings"], **{name: options[name] for name in names}}
    check_same_engine(engine, {**engine, "settings": settings})


def _replace(path: Path, *, overwrite: bool) -> None:
    """Make place for a profile, or the folder of its points.

    Raises
    ------
    ValueError
        When that was not asked for, or something else is there.
    """
    if not overwrite:
        raise ValueError(f"{path} exists already; add --overwrite to replace it, or --continue to add to its points")
    if path.is_dir():
        is_ours = any((path / name).exists() for name in ("points.parquet", "samples.csv.gz"))
        if any(path.iterdir()) and not is_ours:
            raise ValueError(f"{path} holds no calibration; it is left as it is")
        shutil.rmtree(path)


def _fitted(out: Path, raw: RawMeasurement, shape: ModelShape) -> tuple[Profile, list[Sample], list[str]]:
    """Fit, and write the profile."""
    import msgspec

    from dovetail.output import whole_file
    from realexec.calibration.profile import calibrated_profile

    profile, samples, warnings = calibrated_profile(out.stem, raw, shape)
    with whole_file(out, overwrite=True) as file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(profile), indent=1) + b"\n")
    return profile, samples, warnings


def _read(options: dict[str, Any]) -> tuple[RawMeasurement, ModelShape]:
    from realexec.calibration.raw import read_raw
    from realexec.models import model_shape

    raw = read_raw(options["folder"])
    return raw, model_shape(raw.engine["settings"]["model"], raw.engine["settings"]["dtype"])


def _measured(points: Path, options: dict[str, Any]) -> tuple[RawMeasurement, ModelShape]:
    """Run the plan; what was measured is written also when it is interrupted."""
    from realexec.calibration.raw import read_raw, write_raw
    from realexec.calibration.session import Session
    from realexec.interface import EngineFailure
    from realexec.models import model_shape
    from realexec.session import run

    def keep(raw: RawMeasurement) -> None:
        write_raw(points, raw, session.plan)
        others = f", --continue measures the {number} that are missing" if (number := session.num_missing) else ""
        _report(f"{len(raw.points)} points are in {points}; --from fits them again{others}", 0.0)

    shape = model_shape(options["model"], options["dtype"])
    session = Session(_setup(points, shape, options), _report, keep)
    _report(_foreseen(session, options), 0.0)
    try:
        run(session.run())
    except EngineFailure as error:
        if not (points / "points.parquet").exists():
            raise
        _report(f"warning: {error}; what was measured before is fitted", 0.0)
    return read_raw(points), shape


def _setup(points: Path, shape: ModelShape, options: dict[str, Any]) -> Setup:
    from realexec.calibration.raw import read_raw
    from realexec.calibration.session import Setup
    from sim.profile import load_profile

    earlier = read_raw(points) if options["continued"] else None
    # The plan hangs on these two: they are those of the earlier points, whatever is asked.
    plan_options = {name: options[name] for name in ("seed", "small")}
    if earlier is not None:
        plan_options |= {name: earlier.engine[name] for name in plan_options if name in earlier.engine}
        _check_asked(earlier.engine, options)
    return Setup(
        make_engine=lambda is_async, folder: _engine(is_async, folder, options),
        cost=load_profile(options["profile"]).step_cost(async_scheduling=True),
        folder=points,
        budget=options["budget"],
        vocab_size=shape.vocab_size,
        tensor_parallel_size=options["tensor_parallel_size"],
        earlier=earlier,
        **plan_options,
    )


def _engine(async_scheduling: bool, folder: Path, options: dict[str, Any]) -> EngineBackend:
    from realexec.vllm_engine import VllmEngine, VllmOptions

    asked = ("device", "model", "profile", "dtype", "tensor_parallel_size", "gpu_memory_utilization")
    given = {name: options[name] for name in asked}
    built = VllmOptions(**given, limits=asked_limits(options) | {"async_scheduling": async_scheduling})
    return VllmEngine(0, built, folder, gpu_ids=range(options["tensor_parallel_size"]))


def asked_limits(options: dict[str, Any]) -> dict[str, Any]:
    """Limits to ask of vLLM: those given, the others as the profile has them.

    On a GPU, `max_model_len` left out is not among them: it belongs to the model, which need not be the profile's, and
    vLLM takes it from there.
    """
    from sim.profile import load_profile

    names = ["block_size", "max_num_seqs", "max_num_batched_tokens"]
    if options["device"] == "virtual":
        names.append("max_model_len")
    defaults = load_profile(options["profile"]).engine_defaults
    return {name: getattr(defaults, name) for name in names} | given_limits(options)


def _foreseen(session: Session, options: dict[str, Any]) -> str:
    """What will be run, and how long that takes on an engine like that of the profile."""
    from realexec.calibration.estimate import estimated_seconds
    from realexec.calibration.plan import plan
    from realexec.calibration.point import Limits
    from realexec.calibration.session import extent_of
    from sim.profile import load_profile

    setup, known = session.setup, load_profile(options["profile"]).engine_defaults
    limits = Limits(*(getattr(known, name) for name in Limits.__slots__))
    if setup.earlier is None:
        parts = [plan(limits, extent_of(is_async, setup.small)) for is_async in (True, False)]
    else:
        parts = [points for is_async in (True, False) if (points := session.missing(is_async))]
    if not parts:
        return f"no point of the plan is missing in {setup.folder}; nothing is measured"
    seconds = sum(estimated_seconds(points, setup.cost, limits.max_num_batched_tokens) for points in parts)
    starts = ("one engine start", "two engine starts")[len(parts) - 1]
    return f"about {seconds:.0f} s of points, and {starts}"


def _report(text: str, seconds_left: float) -> None:
    """A line on standard error for everything that happens."""
    left = f"  (about {seconds_left:.0f} s left)" if seconds_left else ""
    print(f"dovetail: {text}{left}", file=sys.stderr, flush=True)
