"""Whether decode steps took the same time throughout a calibration: cards change their state now and then."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from sim.fitting.calibrated import is_beyond_forms, predicted
from sim.fitting.samples import Sample
from sim.profile import Terms

_NUM_PARTS = 4


def drift(samples: Sequence[Sample], terms: Terms) -> list[float]:
    """Decode steps beside what a fit says of them, as shares, in four parts of a calibration.

    Parameters
    ----------
    samples : sequence of Sample
        In the order in which they were measured; the decode steps of asynchronous scheduling are taken.
    terms : Terms
        Fitted to these samples.

    Returns
    -------
    list of float
        Of every quarter of the points that have such steps, in their order, the median over its points of the median
        of measured over fitted, less 1; empty with fewer points than four.
    """
    decodes = [
        sample
        for sample in samples
        if sample.asynchronous and not (sample.has_prefills or sample.is_first or is_beyond_forms(sample))
    ]
    shares: dict[str, list[float]] = {}
    for sample, seconds in zip(decodes, predicted(terms, decodes, 0.0), strict=True):
        shares.setdefault(sample.point, []).append(sample.seconds / seconds - 1)
    if len(shares) < _NUM_PARTS:
        return []
    medians = [float(np.median(each)) for each in shares.values()]
    bounds = [part * len(medians) // _NUM_PARTS for part in range(_NUM_PARTS + 1)]
    return [float(np.median(medians[begin:end])) for begin, end in pairwise(bounds)]
