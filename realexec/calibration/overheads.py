"""Host and client time outside the steps, from the points that measure it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from realexec.calibration.raw import RawMeasurement
from sim.fitting.output import rounded
from sim.profile import Overheads

#: A call that comes this much later than the one before it missed the first planning of an idle engine.
_MISSED_SECONDS = 0.0005


def measured_overheads(raw: RawMeasurement, idle_start: float) -> Overheads:
    """Medians over calls; what each is stands in `sim.profile.Overheads`.

    Parameters
    ----------
    raw : RawMeasurement
        Its asynchronous points are used, or all where there are none.
    idle_start : float, seconds
        From the fit of the steps.
    """
    calls = _preferred(raw.calls)
    steps = _preferred(raw.steps).sort_values("finished_at")
    sizes = calls.groupby(["point", "wave"])["request_id"].transform("size")
    is_idle = calls.point.str.startswith("idle")
    singles = calls[is_idle & (sizes == 1)]
    pairs = calls[is_idle & (sizes == 2)]
    # A short first step ends before the engine core would look again; the longest prompts show the whole delay.
    pairs = pairs[pairs.num_prompt_tokens == pairs.num_prompt_tokens.max()]
    return Overheads(
        client_to_engine=_median(singles.scheduled_at - singles.dispatched_at),
        engine_to_client=_median(_reply_times(singles, steps)),
        submit_interval=_median(_submit_intervals(calls[sizes >= 16])),
        idle_wakeup=_median(_wakeups(pairs)),
        idle_start=rounded(idle_start),
    )


def first_step_sizes(raw: RawMeasurement) -> list[int]:
    """How many of the calls sent at once to an idle engine were in its first step, wave by wave."""
    calls, points = _preferred(raw.calls), raw.points
    probes = calls[calls.point.isin(points.point[points.kind.isin(("idle", "client"))])]
    waves = [wave.scheduled_at for _, wave in probes.groupby(["point", "wave"]) if len(wave) > 1]
    return [int((scheduled_at == scheduled_at.min()).sum()) for scheduled_at in waves]


def _preferred(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame.asynchronous] if frame.asynchronous.any() else frame


def _reply_times(singles: pd.DataFrame, steps: pd.DataFrame) -> pd.Series:
    """From the end of the step that gave a call's last token until its client had it."""
    ends = steps.finished_at.to_numpy()
    last = ends[np.maximum(np.searchsorted(ends, singles.finished_at) - 1, 0)]
    return singles.finished_at - last


def _submit_intervals(calls: pd.DataFrame) -> list[float]:
    """Between neighbouring calls that a client sends at once."""
    return [gap for _, wave in calls.groupby(["point", "wave"]) for gap in np.diff(np.sort(wave.dispatched_at))]


def _wakeups(pairs: pd.DataFrame) -> list[float]:
    """Of two calls into an idle engine: how much later the second was planned, where it missed the first planning."""
    gaps = [
        later - earlier
        for _, wave in pairs.groupby(["point", "wave"])
        for earlier, later in pairwise(sorted(wave.scheduled_at))
    ]
    return [gap for gap in gaps if gap > _MISSED_SECONDS]


def _median(values: pd.Series | list[float]) -> float:
    return rounded(max(0.0, float(np.median(values)))) if len(values) else 0.0
