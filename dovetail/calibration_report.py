"""What a calibration found, printed and drawn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from realexec.calibration.raw import RawMeasurement
    from sim.fitting.samples import Load, Sample
    from sim.profile import Profile


def print_report(profile: Profile, raw: RawMeasurement, samples: Sequence[Sample]) -> None:
    """GPU time, noise, forms tried, errors of the fit."""
    from dovetail.output import console
    from realexec.calibration.continued import sessions_of
    from traces.wording import counted

    out = console()
    sessions = f" in {number} sessions" if (number := len(sessions_of(raw.engine))) > 1 else ""
    seconds = raw.engine["seconds"]
    out.print(f"{profile.measurement.gpu}: {seconds:.0f} s of GPU time{sessions}, {len(raw.points)} points")
    if skipped := raw.engine.get("num_skipped_points"):
        out.print(f"not measured: {counted(skipped, 'point')} of the plan")
    out.print(_launches(raw, samples))
    out.print(_first_steps(raw))
    out.print(_noise(samples))
    out.print(_drift(samples, profile))
    out.print(forms_table(profile))
    out.print(residuals_table(profile))


def report_rows(profile: Profile, raw: RawMeasurement, samples: Sequence[Sample]) -> dict[str, Any]:
    """What `print_report` prints, for JSON; errors are shares."""
    import msgspec

    from realexec.calibration.drift import drift
    from realexec.calibration.repeats import repeated_windows

    repeats = repeated_windows(samples)
    return {
        "gpu": profile.measurement.gpu,
        "gpu_seconds": raw.engine["seconds"],
        "num_points": len(raw.points),
        "num_skipped_points": raw.engine.get("num_skipped_points", 0),
        "launches": _launch_percentiles(raw, samples),
        "repeated_windows": None if repeats is None else repeats._asdict(),
        "drift": drift(samples, profile.terms),
        "forms": msgspec.to_builtins(profile.forms),
        "residuals": msgspec.to_builtins(profile.residuals),
    }


def _launch_percentiles(raw: RawMeasurement, samples: Sequence[Sample]) -> dict[str, list[float]] | None:
    """Percentiles 5, 50 and 95 of launches in seconds, beyond the largest CUDA graph and within; None: not seen."""
    import numpy as np

    from sim.fitting.launches import measured_launches

    found = measured_launches(samples, _largest_graph(raw))
    if not found.beyond_graphs:
        return None
    return {
        name: np.percentile([seconds for seconds, _ in getattr(found, name)], (5, 50, 95)).tolist()
        for name in ("beyond_graphs", "within_graphs")
    }


def _largest_graph(raw: RawMeasurement) -> int:
    """Tokens of the largest CUDA graph."""
    return max(raw.engine["settings"].get("cudagraph_capture_sizes", ()), default=1)


def _launches(raw: RawMeasurement, samples: Sequence[Sample]) -> str:
    """How long the engine core launches steps with prefills: hosts are fast and slow within seconds."""
    found = _launch_percentiles(raw, samples)
    if found is None:
        return "how long the engine core launches a step with prefills was not seen"
    beyond, within = (", ".join(f"{1e3 * each:.1f}" for each in seconds) for seconds in found.values())
    return (
        f"the engine core launches a step with prefills of more than {_largest_graph(raw)} tokens in {beyond} ms, with "
        f"fewer in {within} ms (5th, 50th and 95th percentile)"
    )


def _first_steps(raw: RawMeasurement) -> str:
    """How many calls the first step of an idle engine had when several were sent at once."""
    from realexec.calibration.overheads import first_step_sizes

    sizes = Counter(first_step_sizes(raw))
    steps = ", ".join(f"{number} of {size}" for size, number in sorted(sizes.items()))
    return f"calls sent at once to an idle engine, first steps by their calls: {steps or 'none'}"


def _noise(samples: Sequence[Sample]) -> str:
    """How much windows with prefills differ that ran the same."""
    from realexec.calibration.repeats import repeated_windows

    repeats = repeated_windows(samples)
    if repeats is None:
        return "no window with prefills was measured twice"
    spread, median, p95 = (f"{100 * share:.2f}%" for share in repeats[2:])
    return (
        f"{repeats.num_groups} windows with prefills were measured {repeats.num_windows} times in all: the longest is "
        f"{spread} above the shortest (median); each is {median} from the mean of its repeats (median; p95 {p95})"
    )


def _drift(samples: Sequence[Sample], profile: Profile) -> str:
    """Whether decode steps took the same time throughout."""
    from realexec.calibration.drift import drift

    parts = drift(samples, profile.terms)
    if not parts:
        return "too few points to tell whether decode steps took the same time throughout"
    shares = ", ".join(f"{100 * share:+.1f}%" for share in parts)
    return f"decode steps beside the profile, by quarters of the points in their order (median): {shares}"


def forms_table(profile: Profile) -> Table:
    """Forms of the step cost that were tried, the kept one marked."""
    from rich.table import Table

    shown = Table("form", box=None, title="Forms tried, errors in cross-validation", title_justify="left")
    for title in ("terms", "median (%)", "p95 (%)"):
        shown.add_column(title, justify="right")
    shown.add_column("")
    for form in profile.forms:
        kept = "kept" if form.chosen else ""
        shown.add_row(form.name, str(form.num_terms), f"{100 * form.median:.2f}", f"{100 * form.p95:.2f}", kept)
    return shown


def residuals_table(profile: Profile) -> Table:
    """Errors of the profile on every set of points."""
    from rich.table import Table

    shown = Table("points", box=None, title="Errors of the profile", title_justify="left")
    for title in ("kind", "number", "median (%)", "p95 (%)", "bias (%)"):
        shown.add_column(title, justify="right")
    for row in profile.residuals:
        errors = (f"{100 * value:.2f}" for value in (row.median, row.p95))
        kind = "fitted" if row.fitted else "predicted"
        shown.add_row(row.points, kind, str(row.num_points), *errors, f"{100 * row.bias:+.2f}")
    return shown


def write_samples(folder: Path, samples: Sequence[Sample], profile: Profile) -> None:
    """`samples.csv.gz` with what the profile says of each, and `residuals.png`, where repeats are their median."""
    from dovetail.residual_plot import draw_residuals
    from sim.fitting.medians import with_medians

    frame = sample_frame(samples, profile)
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / "samples.csv.gz", index=False, float_format="%.8g")
    draw_residuals(sample_frame(with_medians(samples), profile), profile, folder / "residuals.png")


def sample_frame(samples: Sequence[Sample], profile: Profile) -> pd.DataFrame:
    """Samples with the predicted duration and its relative error; the first step of an idle engine has neither."""
    from sim.fitting.calibrated import predicted

    frame = pd.DataFrame(samples)
    frame["predicted_seconds"] = predicted(profile.terms, samples, profile.overheads.idle_start)
    frame["error"] = frame["predicted_seconds"] / frame["seconds"] - 1
    frame["loads"] = ["; ".join(map(_load_text, each.loads)) for each in samples]
    frame["launches"] = ["; ".join(f"{seconds:.8g}" for seconds in each.launches) for each in samples]
    return frame


def _load_text(load: Load) -> str:
    """Decodes x context, and each chunk as new+computed."""
    chunks = "".join(f" {new}+{computed}" for new, computed in load.prefills)
    shared = " shared {}/{}, in pairs {:.7g}".format(*load.sharing) if load.sharing[0] else ""
    return f"{load.num_decodes}x{load.num_context_tokens}{chunks}{shared}"
