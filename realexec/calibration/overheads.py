"""Host and client time outside the steps, from the points that measure it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from realexec.calibration.raw import RawMeasurement
from sim.fitting.output import rounded
from sim.profile import Overheads, Waking

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


def measured_waking(raw: RawMeasurement) -> Waking | None:
    """How calls sent at once reach an idle engine, from the points made for that; None where there is none.

    Notes
    -----
    Whether a call still gets into the first step is chance: threads of the engine core compete. `gather` is the median
    over waves of the time for which calls did. A wave shows it between the sending of the last call that was in time
    and of the next one; where all were, or the step was full, it only shows that it was longer. Hence the median of
    Kaplan and Meier (Journal of the American Statistical Association 53 (1958) 457), each time taken at the middle.
    """
    waves = _waves_into_idle(raw)
    if not waves:
        return None
    bounds = [_gathered(wave, raw.engine["settings"]["max_num_batched_tokens"]) for wave in waves]
    return Waking(
        first_submit_interval=_median([wave.dispatched_at.diff().iloc[1] for wave in waves]),
        gather=rounded(_median_survival(np.array(bounds))),
    )


def first_step_sizes(raw: RawMeasurement) -> list[int]:
    """How many of the calls sent at once to an idle engine were in its first step, wave by wave."""
    return [int((wave.scheduled_at == wave.scheduled_at.min()).sum()) for wave in _waves_into_idle(raw)]


def _waves_into_idle(raw: RawMeasurement) -> list[pd.DataFrame]:
    """Calls sent at once to an idle engine, of points made for that, in the order in which they were sent."""
    calls, points = _preferred(raw.calls), raw.points
    probes = calls[calls.point.isin(points.point[points.kind.isin(("idle", "client"))])]
    return [wave.sort_values("dispatched_at") for _, wave in probes.groupby(["point", "wave"]) if len(wave) > 1]


def _gathered(wave: pd.DataFrame, max_num_tokens: int) -> tuple[float, float]:
    """Between which times after the first call others stopped getting into its step; the second one may be inf."""
    sent_after = (wave.dispatched_at - wave.dispatched_at.iloc[0]).to_numpy()
    first_step = wave[wave.scheduled_at == wave.scheduled_at.min()]
    num_in = len(first_step)
    num_tokens = (first_step.num_prompt_tokens - first_step.num_cached_tokens).sum()
    is_cut_off = num_in == len(wave) or num_tokens >= max_num_tokens
    return sent_after[num_in - 1], np.inf if is_cut_off else sent_after[num_in]


def _median_survival(bounds: np.ndarray) -> float:
    """Median of times known to lie between `bounds`, shape (num_times, 2); the longest lower one where most do."""
    is_known = np.isfinite(bounds[:, 1])
    times = stats.CensoredData(uncensored=bounds[is_known].mean(axis=1), right=bounds[~is_known, 0])
    survival = stats.ecdf(times).sf
    reached = survival.quantiles[survival.probabilities <= 0.5]
    return float(reached[0] if len(reached) else bounds[:, 0].max())


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
