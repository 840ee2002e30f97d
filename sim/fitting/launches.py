"""How long the engine core takes to launch steps with prefills, from the windows of a calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sim.fitting.output import rounded
from sim.fitting.samples import Sample

#: A launch that graphs shorten may end while the decode step ahead runs, unless that has few calls.
_MOST_DECODES = 8

#: Fewer are no measurement: one host is fast and slow within seconds.
_FEWEST = 20


class MeasuredLaunches(NamedTuple):
    """Launches as they were measured, of steps with more tokens than the largest CUDA graph, and with no more.

    Parameters
    ----------
    num_graph_tokens : int
    beyond_graphs, within_graphs : tuple of (seconds, num_decodes)
        Each with the decoding calls beside it.
    """

    num_graph_tokens: int
    beyond_graphs: tuple[tuple[float, int], ...]
    within_graphs: tuple[tuple[float, int], ...]


UNKNOWN_LAUNCHES = MeasuredLaunches(0, (), ())


def measured_launches(samples: Sequence[Sample], num_graph_tokens: int) -> MeasuredLaunches:
    """Launches of single steps with prefills beside decoding calls; unknown where too few were measured.

    Parameters
    ----------
    samples : sequence of Sample
        With every repeat; those that are held out are left out.
    num_graph_tokens : int
        Tokens of the largest CUDA graph.
    """
    within, beyond = [], []
    for sample in samples:
        if sample.held_out or sample.is_first or not sample.launches or len(sample.loads) < 2:
            continue
        before, launched = sample.loads[:2]
        if before.prefills or not launched.prefills:
            continue
        if launched.num_tokens > num_graph_tokens:
            beyond.append((sample.launches[1], launched.num_decodes))
        elif before.num_decodes <= _MOST_DECODES:
            within.append((sample.launches[1], launched.num_decodes))
    if min(len(within), len(beyond)) < _FEWEST:
        return UNKNOWN_LAUNCHES
    return MeasuredLaunches(num_graph_tokens, tuple(beyond), tuple(within))


def usual_launch(launches: Sequence[tuple[float, int]], seconds_per_decode: float) -> float:
    """The median launch, less what decoding calls add to it, in seconds; 0 where none was measured."""
    if not launches:
        return 0.0
    return rounded(float(np.median([seconds - seconds_per_decode * num_decodes for seconds, num_decodes in launches])))
