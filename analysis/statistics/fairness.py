"""How evenly applications are treated: each one's slowdown against what it would take alone."""

from __future__ import annotations

import numpy as np
import pandas as pd


def slowdowns(jct: pd.Series, alone: pd.Series) -> pd.Series:
    """Completion time over the lower bound of the same application; 1 is as fast as alone on an idle engine."""
    return jct / alone.reindex(jct.index)


def jain_index(shares: np.ndarray) -> float:
    """Jain's fairness index, from 1/n (one gets everything) to 1 (all get the same); NaN without values.

    Parameters
    ----------
    shares : (num_applications,) float array
        What each got: here the inverse of its slowdown, the share of an idle engine's speed.

    References
    ----------
    Jain, Chiu and Hawe, DEC Research Report TR-301, 1984: (sum x)^2 / (n * sum x^2).
    """
    if not len(shares):
        return float("nan")
    return float(shares.sum() ** 2 / (len(shares) * (shares**2).sum()))
