"""Does the queue grow without bound? From the trend of the number of overdue applications while others arrive.

An application is overdue when it is in the system for longer than it would take alone. In a stable system their number
fluctuates about a level; beyond capacity it grows by the share of the arrivals that the engines cannot absorb, which is
1 - 1/rho at the load rho. Leaves out loads just above capacity: growth below `MATERIAL_GROWTH` is not told from chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

#: Share of the arrivals that stays behind: at a load of 1.08 and more in a long run. Less may be chance in runs of a
#: few hundred applications: a queue near its capacity wanders by the square root of the number of arrivals.
MATERIAL_GROWTH = 0.07

#: One-sided level of the trend; intervals are correlated, so this alone would mark too many.
LEVEL = 0.01

_NUM_INTERVALS = 20


@dataclass(frozen=True, slots=True)
class Growth:
    """Trend of the number of overdue applications.

    Parameters
    ----------
    share : float
        Applications by which it grows for each one that arrives; NaN where there is no span of time to look at.
    p_value : float
        One-sided, of no growth.
    """

    share: float
    p_value: float

    @property
    def is_saturated(self) -> bool:
        """Whether the growth is material and more than a fluctuation."""
        return self.share > MATERIAL_GROWTH and self.p_value < LEVEL


def growth(arrived: np.ndarray, due: np.ndarray, finished: np.ndarray, begin: float) -> Growth:
    """Trend of overdue applications from `begin` to the last arrival.

    Parameters
    ----------
    arrived, due, finished : (num_applications,) float array, seconds
        Arrival, the instant by which the application would be done alone, and its finish; infinite when it never was.
    begin : float, seconds
        End of the warm-up.

    Notes
    -----
    Least squares through the means of 20 equal intervals of time. They begin after twice the mean time alone at the
    earliest: no application is overdue before, so the number would rise from nothing to its level.
    """
    begin, end = max(begin, float(arrived.min() + 2 * (due - arrived).mean())), float(arrived.max())
    num_arrived = int((arrived > begin).sum())
    if not end > begin or num_arrived < _NUM_INTERVALS:
        return Growth(float("nan"), float("nan"))
    edges = np.linspace(begin, end, _NUM_INTERVALS + 1)
    fit = stats.linregress((edges[1:] + edges[:-1]) / 2, _mean_present(due, finished, edges), alternative="greater")
    return Growth(float(fit.slope) * (end - begin) / num_arrived, float(fit.pvalue))


def _mean_present(entered: np.ndarray, left: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean number present in each interval between edges."""
    spent = np.clip(left[:, None], edges[:-1], edges[1:]) - np.clip(entered[:, None], edges[:-1], edges[1:])
    present: np.ndarray = np.maximum(spent, 0.0).sum(axis=0) / np.diff(edges)
    return present
