"""The start of a run, when the system is emptier than later: what is cut off, and whether enough was."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Consecutive values that MSER-5 averages before it looks at them.
_BATCH = 5


def after_warmup(arrived: pd.Series, share: float) -> pd.Series:
    """Which applications count, bool: all but the first `share` of them by arrival.

    Parameters
    ----------
    arrived : pandas.Series, seconds
        Arrival of each application.
    share : float
        In [0, 1). Chosen beforehand, not from the results: policies that are compared must drop the same applications.

    Raises
    ------
    ValueError
        When the share is out of range.
    """
    if not 0 <= share < 1:
        raise ValueError(f"warmup={share} must be in [0, 1)")
    return arrived.rank(method="first") > int(share * len(arrived))


def mser5(values: np.ndarray) -> float:
    """Share of the run that the MSER-5 rule would cut off.

    Parameters
    ----------
    values : (num_values,) float array
        A measure in order of time, such as the completion times of applications in order of arrival.

    Returns
    -------
    float
        In [0, 0.5]; 0.5 means that no end of the warm-up was found. NaN with fewer than 20 values.

    Notes
    -----
    Cuts where the standard error of the mean of what is left is least, looking at means of five consecutive values and
    at the first half only (White, Cobb and Spratt, Winter Simulation Conference 2000).
    """
    values = values[np.isfinite(values)]
    if len(values) < 4 * _BATCH:
        return float("nan")
    means = values[: len(values) // _BATCH * _BATCH].reshape(-1, _BATCH).mean(axis=1)
    errors = [means[cut:].var() / (len(means) - cut) for cut in range(len(means) // 2 + 1)]
    return int(np.argmin(errors)) / len(means)
