"""The difference in engine time, divided into schedule and cost: one run's steps at the other run's prices.

Let T(schedule, cost) be the engine time of one run's steps priced with the step times of one run. Then

    T(simulated, simulated) - T(measured, measured)
        = [T(simulated, measured) - T(measured, measured)]    the schedule, at measured cost
        + [T(simulated, simulated) - T(simulated, measured)]  the cost, on the simulated schedule

and the same with T(measured, simulated) in the middle; the two ways differ where schedule and cost interact. It is
about the time engines are busy. Latency cannot be re-costed from records: which calls a slower step delays depends on
the client, who would have to be run again.

A step of one run is priced by the most similar steps of the other: nearest neighbours in the recorded columns, each
corrected by the difference that a linear fit to the other run's steps makes of the remaining distance (matching with
bias correction: Abadie and Imbens, Journal of Business and Economic Statistics 29, 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from scipy.spatial import cKDTree

#: What a step's duration is compared by. Context is that of the middle step of a run of equal ones.
FEATURES = ("num_decodes", "num_context_tokens", "num_prefills", "num_prefill_tokens")

#: Neighbours whose corrected durations are averaged, by inverse distance.
NUM_NEIGHBOURS = 4

#: Stands for a distance of 0, seconds: a step that ran in both runs is priced as itself.
_NEAR = 1e-15

#: Rows of either run that are priced and searched; more are thinned out evenly, and the price scaled up by engine time.
MAX_ROWS = 200_000

#: A step whose nearest neighbour is further away than this share of its own time counts as extrapolated.
FAR = 0.1


@dataclass(frozen=True, slots=True)
class Recosted:
    """Engine time under both schedules and both costs, seconds.

    Parameters
    ----------
    simulated, measured : float
        Busy time of all engines in each run, as recorded.
    simulated_at_measured_cost, measured_at_simulated_cost : float
        The one run's steps at the other run's prices.
    extrapolated_simulated, extrapolated_measured : float
        Share of that time in steps that the other run has nothing similar to (`FAR`).
    """

    simulated: float
    measured: float
    simulated_at_measured_cost: float
    measured_at_simulated_cost: float
    extrapolated_simulated: float
    extrapolated_measured: float

    def table(self, second: str = "measured") -> pd.DataFrame:
        """Both ways of dividing the difference: `way`, `schedule`, `cost` and `difference` (their sum), seconds.

        Parameters
        ----------
        second : str
            What the second run is called, see `analysis.comparison.manifests.second_label`.
        """
        difference = self.simulated - self.measured
        rows = [
            (f"simulated schedule at {second} cost", self.simulated_at_measured_cost - self.measured),
            (f"{second} schedule at simulated cost", self.simulated - self.measured_at_simulated_cost),
        ]
        return pd.DataFrame(
            [(way, schedule, difference - schedule, difference) for way, schedule in rows],
            columns=["way", "schedule", "cost", "difference"],
        )


def step_times(steps: pd.DataFrame) -> pd.DataFrame:
    """Mean duration of the steps of each row, with what they are compared by.

    Parameters
    ----------
    steps : pandas.DataFrame
        Columns `traces.records.STEP_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        `engine`, `started_at`, `count`, `FEATURES` and `step_time` in seconds; rows that ran nothing are left out.

    Notes
    -----
    With two steps in flight a step is opened before the one before it is done; its time counts from that one's end, so
    that the times of an engine's steps add up to the time it is busy.
    """
    ran = steps[(steps["num_decodes"] > 0) | (steps["num_prefill_tokens"] > 0)]
    ran = ran.sort_values(["engine", "started_at"], kind="stable")
    busy_until = ran.groupby("engine")["finished_at"].cummax().groupby(ran["engine"]).shift()
    started = ran["started_at"].where(~(busy_until > ran["started_at"]), busy_until)
    context = ran["num_context_tokens"] + ran["num_decodes"] * (ran["count"] - 1) / 2
    frame = ran[["engine", "started_at", "count", *FEATURES]].assign(num_context_tokens=context.astype(float))
    return frame.assign(step_time=(ran["finished_at"] - started).clip(lower=0.0) / ran["count"]).reset_index(drop=True)


def price(steps: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    """What steps would have taken in the other run.

    Parameters
    ----------
    steps, reference : pandas.DataFrame
        Results of `step_times`.

    Returns
    -------
    pandas.DataFrame
        Rows as `steps`: `price` in seconds a step, and `distance` in seconds to the nearest neighbour, by what either
        run's fit makes of the difference in features.
    """
    known = _distinct(thinned(reference))
    features, known_features = (frame[list(FEATURES)].to_numpy(float) for frame in (steps, known))
    weights = _seconds_per_unit(known)
    # A feature that never varies in the reference has no weight there, and still tells steps apart.
    scale = np.maximum(np.maximum(weights, _seconds_per_unit(steps)), 1e-12)
    num_neighbours = min(NUM_NEIGHBOURS, len(known))
    distances, nearest = cKDTree(known_features * scale).query(
        features * scale, k=list(range(1, num_neighbours + 1)), p=1
    )
    correction = (features[:, None, :] - known_features[nearest]) @ weights
    times = known["step_time"].to_numpy(float)[nearest]
    closeness = 1 / np.maximum(distances, _NEAR)
    priced = np.maximum(((times + correction) * closeness).sum(axis=1) / closeness.sum(axis=1), 0.0)
    return pd.DataFrame({"price": priced, "distance": distances[:, 0]}, index=steps.index)


def _distinct(times: pd.DataFrame) -> pd.DataFrame:
    """One row for each combination of features, with the mean time of its steps."""
    seconds = times["step_time"] * times["count"]
    summed = times.assign(seconds=seconds).groupby(list(FEATURES), as_index=False)[["seconds", "count"]].sum()
    return summed.assign(step_time=summed["seconds"] / summed["count"])


def _seconds_per_unit(times: pd.DataFrame) -> np.ndarray:
    """Linear fit of the step time to `FEATURES`, none of which makes a step faster; (len(FEATURES),)."""
    design = np.column_stack([times[list(FEATURES)].to_numpy(float), np.ones(len(times))])
    # Counts and tokens have scales of their own; without this the small coefficients are lost in rounding.
    size = np.maximum(np.abs(design).max(axis=0), 1.0)
    weights: np.ndarray = (nnls(design / size, times["step_time"].to_numpy(float))[0] / size)[:-1]
    return weights


def recost(simulated: pd.DataFrame, measured: pd.DataFrame) -> Recosted | None:
    """Engine time of both schedules at both costs; None where a run recorded no steps.

    Parameters
    ----------
    simulated, measured : pandas.DataFrame
        Columns `traces.records.STEP_COLUMNS`.
    """
    times = [step_times(simulated), step_times(measured)]
    if times[0].empty or times[1].empty:
        return None
    totals = [float((own["step_time"] * own["count"]).sum()) for own in times]
    (simulated_share, simulated_far), (measured_share, measured_far) = (
        _relative_price(thinned(own), other) for own, other in (times, times[::-1])
    )
    return Recosted(
        simulated=totals[0],
        measured=totals[1],
        simulated_at_measured_cost=totals[0] * simulated_share,
        measured_at_simulated_cost=totals[1] * measured_share,
        extrapolated_simulated=simulated_far,
        extrapolated_measured=measured_far,
    )


def thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """Every k-th row, so that at most `MAX_ROWS` are left."""
    return rows.iloc[:: 1 + (len(rows) - 1) // MAX_ROWS]


def _relative_price(steps: pd.DataFrame, reference: pd.DataFrame) -> tuple[float, float]:
    """Price of steps over the time they took, and the share of the price in steps without a similar one."""
    found = price(steps, reference)
    seconds = found["price"] * steps["count"]
    total, taken = float(seconds.sum()), float((steps["step_time"] * steps["count"]).sum())
    far = float(seconds[found["distance"] > FAR * steps["step_time"]].sum())
    return (total / taken, far / total) if total > 0 and taken > 0 else (1.0, 0.0)
