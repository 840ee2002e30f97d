"""Whether decode steps took the same time throughout a calibration: cards change their state now and then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.fitting.calibrated import predicted
from sim.fitting.samples import Sample
from sim.profile import Terms

_NUM_PARTS = 4


def drift(samples: Sequence[Sample], terms: Terms) -> list[float]:
    """Decode steps beside what a fit says of them, as shares, in the four quarters of a calibration.

    Parameters
    ----------
    samples : sequence of Sample
        In the order in which they were measured; the decode steps of asynchronous scheduling are taken.
    terms : Terms
        That were fitted to them.

    Returns
    -------
    list of float
        Median of measured over fitted, less 1, of each quarter of the points; empty with fewer points than four.
    """
    decodes = [sample for sample in samples if sample.asynchronous and not sample.has_prefills and not sample.is_first]
    points = list(dict.fromkeys(sample.point for sample in decodes))
    if len(points) < _NUM_PARTS:
        return []
    measured = np.array([sample.seconds for sample in decodes]) / predicted(terms, decodes, 0.0) - 1
    part_of = {point: index * _NUM_PARTS // len(points) for index, point in enumerate(points)}
    parts = np.array([part_of[sample.point] for sample in decodes])
    return [float(np.median(measured[parts == part])) for part in range(_NUM_PARTS)]
