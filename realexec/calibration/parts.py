"""What of the windows beside decoding calls is held out: parts of them, each with all its repeats.

The same prefills are measured several times, in points of their own, so that a point held out would be predicted from
its repeats. The different windows beside a background are dealt into parts instead, and one part is never fitted. The
few decode steps of such points go with the point: they are like those of staircases anyway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sim.fitting.medians import is_repeatable, same_window
from sim.fitting.samples import Sample

#: Parts into which the windows beside a background are dealt; the first is held out.
_NUM_PARTS = 5


def mode_suffix(is_async: bool) -> str:
    """What the name of a sample's point ends with."""
    return " (asynchronous)" if is_async else " (synchronous)"


def in_parts(samples: Sequence[Sample]) -> list[Sample]:
    """Samples with the windows beside each background dealt into parts at random, their points named after those."""
    found: dict[tuple[bool, str], set[Any]] = {}
    for sample in samples:
        if _is_repeated(sample):
            found.setdefault((sample.asynchronous, _background(sample)), set()).add(same_window(sample))
    rng = np.random.default_rng(0)
    parts: dict[Any, int] = {}
    for background in sorted(found):
        windows = sorted(found[background])
        for place, index in enumerate(rng.permutation(len(windows)).tolist()):
            parts[background, windows[index]] = place % _NUM_PARTS
    return [_in_part(sample, parts) if _is_repeated(sample) else sample for sample in samples]


def _in_part(sample: Sample, parts: Mapping[Any, int]) -> Sample:
    background = (sample.asynchronous, _background(sample))
    part = parts[background, same_window(sample)]
    name = f"{background[1]}, part {part}{mode_suffix(sample.asynchronous)}"
    return sample._replace(point=name, held_out=part == 0)


def _is_repeated(sample: Sample) -> bool:
    return sample.kind == "prefill" and is_repeatable(sample)


def _background(sample: Sample) -> str:
    """Name of the point without the number of the repeat, which stands behind its last comma."""
    return sample.point.removesuffix(mode_suffix(sample.asynchronous)).rpartition(",")[0]
