"""Confidence intervals by replication: every seed is one independent observation.

Calls and applications of one run queue together, so their spread says nothing of the error of the run's mean;
independent runs do (Law, Simulation Modeling and Analysis, 5th ed., section 9.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over replications and its interval.

    Parameters
    ----------
    num : int
        Replications.
    mean, low, high : float
        NaN where undefined: the mean of nothing, or an interval without spread.
    p_value : float
        Two-sided, of the hypothesis that the mean is 0.
    """

    num: int
    mean: float
    low: float
    high: float
    p_value: float


def mean_interval(values: pd.Series, confidence: float = CONFIDENCE) -> Interval:
    """Student's interval of the mean of independent replications; undefined values are left out.

    Notes
    -----
    mean -+ t(n - 1) * s / sqrt(n). No interval from a single value, nor from values that are all equal: a run that does
    not depend on its seed has been run once.
    """
    defined = values.dropna().to_numpy(dtype=float)
    if not len(defined):
        return Interval(0, float("nan"), float("nan"), float("nan"), float("nan"))
    mean = float(defined.mean())
    if len(defined) < 2 or (defined == defined[0]).all():
        return Interval(len(defined), mean, float("nan"), float("nan"), float("nan"))
    error = float(defined.std(ddof=1)) / np.sqrt(len(defined))
    reach = float(stats.t.ppf((1 + confidence) / 2, len(defined) - 1)) * error
    p_value = 2 * float(stats.t.sf(abs(mean) / error, len(defined) - 1))
    return Interval(len(defined), mean, mean - reach, mean + reach, p_value)


def paired_difference(first: pd.Series, second: pd.Series, confidence: float = CONFIDENCE) -> Interval:
    """Interval of the mean of `second - first` over the seeds that both have.

    Parameters
    ----------
    first, second : pandas.Series
        One value a seed, indexed by seed. The same seed must be the same workload and the same network.
    confidence : float

    Notes
    -----
    Under common random numbers both runs of a seed share most of their luck, which the difference does not have (Law,
    section 11.2); two separate intervals may overlap where this one excludes 0.
    """
    return mean_interval((second - first).dropna(), confidence)
