"""Windows that were measured several times, as one sample each: a single one may hold a stall of the host."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from sim.fitting.samples import Sample


def same_window(sample: Sample) -> Hashable:
    """What windows have in common that repeat each other: their steps decode as many calls and prefill the same chunks.

    Their contexts may differ by what was generated meanwhile.
    """
    return sample.asynchronous, tuple((load.num_decodes, load.prefills) for load in sample.loads)


def is_repeatable(sample: Sample) -> bool:
    """Whether it is a window whose repeats would take as long: not one of an idle engine or of a device that is hot."""
    return sample.has_prefills and not (sample.is_first or sample.is_power_bound)


def with_medians(samples: Sequence[Sample]) -> list[Sample]:
    """Samples in order, the repeats of a window within a point or a part of it as the one that took the median time.

    Of an even number it is the mean of the two in the middle, in time and context. `num_steps` counts repeats. Windows
    of an idle engine are left as they are.
    """
    groups: dict[Hashable, list[Sample]] = {}
    for index, sample in enumerate(samples):
        key = (sample.point, sample.held_out, same_window(sample)) if is_repeatable(sample) else index
        groups.setdefault(key, []).append(sample)
    return [_median(group) if len(group) > 1 else group[0] for group in groups.values()]


def _median(repeats: list[Sample]) -> Sample:
    ordered = sorted(repeats, key=lambda sample: sample.seconds)
    middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
    contexts = np.mean([[load.num_context_tokens for load in sample.loads] for sample in middle], axis=0)
    return middle[0]._replace(
        seconds=float(np.mean([sample.seconds for sample in middle])),
        num_steps=len(repeats),
        launches=tuple(np.mean([sample.launches for sample in middle], axis=0).tolist()),
        loads=tuple(
            load._replace(num_context_tokens=round(context))
            for load, context in zip(middle[0].loads, contexts.tolist(), strict=True)
        ),
    )
