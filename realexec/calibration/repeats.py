"""How much single windows with prefills vary that ran the same."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from sim.fitting.medians import same_window
from sim.fitting.samples import Sample


class Repeats(NamedTuple):
    """Windows that were measured more than once; the last three are shares.

    Parameters
    ----------
    num_groups, num_windows : int
        Different windows, and how often they were measured in all.
    spread : float
        How far the longest of a group is above the shortest, median over the groups.
    median, p95 : float
        How far a window is from the mean of what it repeats: what the median and the 95th percentile of the errors
        would be if that mean were predicted exactly. Single stalls move the means of their groups, and with them p95.
    """

    num_groups: int
    num_windows: int
    spread: float
    median: float
    p95: float


def repeated_windows(samples: Sequence[Sample]) -> Repeats | None:
    """The noise of windows with prefills under asynchronous scheduling; None where none was measured twice.

    Windows of an idle engine are left out.

    Notes
    -----
    The mean of n windows is nearer to each of them than the mean that many more would have: the variance of x - mean(x)
    is (n - 1) / n of that of x (Bessel's correction). Deviations are scaled up by its root.
    """
    groups: dict[Hashable, list[float]] = {}
    for sample in samples:
        if sample.has_prefills and sample.asynchronous and not sample.is_first:
            groups.setdefault(same_window(sample), []).append(sample.seconds)
    repeated = [np.array(seconds) for seconds in groups.values() if len(seconds) > 1]
    if not repeated:
        return None
    spreads = [float(each.max() / each.min()) - 1 for each in repeated]
    deviations = np.concatenate(
        [np.abs(each / each.mean() - 1) * (len(each) / (len(each) - 1)) ** 0.5 for each in repeated]
    )
    return Repeats(
        len(repeated),
        len(deviations),
        float(np.median(spreads)),
        *(float(each) for each in np.percentile(deviations, (50, 95))),
    )
