"""What every fitting script shares: command line, residuals, rounding and the JSON file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from sim.profile import PROFILE_FOLDER, CurveTable, ModelShape, Profile, Residual, check_profile

LLAMA_13B = ModelShape("Llama-13B", "float16", 40, 5120, 13824, 40, 40, 128, 32000)
LLAMA_7B = ModelShape("Llama-7B", "float16", 32, 4096, 11008, 32, 32, 128, 32000)

#: Digits kept of a fitted value: far below its uncertainty, far above the noise between linear-algebra libraries.
SIGNIFICANT_DIGITS = 5


def arguments(description: str | None) -> argparse.Namespace:
    """Command line of a fitting script: `data` and `out`, both folders."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data collection")
    parser.add_argument("--out", type=Path, default=PROFILE_FOLDER, help="where to write the profiles")
    parsed = parser.parse_args()
    parsed.out.mkdir(parents=True, exist_ok=True)
    return parsed


def rounded(value: float) -> float:
    """`value` with `SIGNIFICANT_DIGITS` digits."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def curve_table(counts: Sequence[int], seconds: Sequence[float] | np.ndarray) -> CurveTable:
    """Table of a curve with rounded values."""
    return CurveTable(tuple(int(count) for count in counts), tuple(rounded(float(value)) for value in seconds))


def constant(seconds: float) -> CurveTable:
    """Table of a curve that has one value everywhere."""
    return curve_table((1,), (seconds,))


def residual(points: str, predicted: Sequence[float], measured: Sequence[float], *, fitted: bool) -> Residual:
    """Relative errors of `predicted` against `measured`, summarised."""
    errors = np.asarray(predicted) / np.asarray(measured) - 1
    median, p95 = np.percentile(np.abs(errors), [50, 95])
    return Residual(points, fitted, len(errors), *(round(float(value), 4) for value in (median, p95, errors.mean())))


def write_profile(profile: Profile, folder: Path) -> None:
    """Check the profile, write `<name>.json` and print its residuals."""
    path = folder / f"{profile.name}.json"
    check_profile(profile, str(path))
    path.write_bytes(msgspec.json.format(msgspec.json.encode(profile), indent=1) + b"\n")
    print(f"{profile.name}: wrote {path}")
    for row in profile.residuals:
        kind = "fitted   " if row.fitted else "predicted"
        print(
            f"  {kind} {row.num_points:5d} points  median {row.median:6.2%}  p95 {row.p95:6.2%}  "
            f"bias {row.bias:+7.2%}  {row.points}"
        )
