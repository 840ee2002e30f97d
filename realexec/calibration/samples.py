"""Steps condensed to what a fit works on: medians over equal decode steps, prefill steps one by one.

The engine core notes the end of a step when it gets round to its output. When the host is late, that step looks long
and the next one short by as much. Medians do not feel it; a prefill step with a short decode step behind it is left
out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from realexec.calibration.replay import Step
from sim.fitting.samples import Sample

#: Steps after a change of the batch that still feel it: with asynchronous scheduling two are in flight.
_NUM_TRANSIENT = 2


#: A decode step this much shorter than others of its batch began before the step ahead of it was noted.
_SHORT = 0.85


def samples_of(steps: Sequence[Step]) -> list[Sample]:
    """Samples of replayed steps, in order.

    A run of decode steps over the same calls gives the median of its durations at its mean context, since a step is
    affine in context; its first two steps are left out where there are others.
    """
    on_time = _on_time(steps)
    return [sample for _, run in groupby(on_time, key=_run_key) for sample in _run_samples(list(run))]


def _on_time(steps: Sequence[Step]) -> list[Step]:
    """Steps without the prefills whose end was noted late."""
    decodes: dict[tuple[object, ...], list[float]] = {}
    for step in steps:
        if not step.prefills:
            decodes.setdefault(_run_key(step), []).append(step.seconds)
    typical = {key: float(np.median(seconds)) for key, seconds in decodes.items()}
    following = [*steps[1:], None]
    return [
        step
        for step, after in zip(steps, following, strict=True)
        if not step.prefills
        or after is None
        or after.prefills
        or after.point != step.point
        or after.seconds >= _SHORT * typical[_run_key(after)]
    ]


def _run_key(step: Step) -> tuple[object, ...]:
    return (step.point, step.asynchronous, step.is_first, bool(step.prefills), step.num_decodes, step.sharing)


def _run_samples(run: list[Step]) -> Iterator[Sample]:
    if run[0].prefills or run[0].is_first:
        for step in run:
            yield _sample(step, step.num_context_tokens, step.seconds, 1, 0.0)
        return
    steady = run[_NUM_TRANSIENT:]
    if not steady:
        return
    seconds = np.array([step.seconds for step in steady])
    median = float(np.median(seconds))
    # Standard error of a median of normal errors, their spread from the median absolute deviation.
    noise = 1.4826 * float(np.median(np.abs(seconds - median))) * np.sqrt(np.pi / 2 / len(seconds))
    context = round(np.mean([step.num_context_tokens for step in steady]))
    yield _sample(steady[0], context, median, len(steady), float(noise))


def _sample(step: Step, context: int, seconds: float, num_steps: int, noise: float) -> Sample:
    return Sample(
        point=f"{step.point} ({'asynchronous' if step.asynchronous else 'synchronous'})",
        kind=step.kind,
        held_out=step.held_out,
        asynchronous=step.asynchronous,
        is_first=step.is_first,
        seconds=seconds,
        num_steps=num_steps,
        noise=noise,
        num_decodes=step.num_decodes,
        num_context_tokens=context,
        num_repeated_tokens=step.sharing.num_repeated_tokens,
        num_distinct_tokens=step.sharing.num_distinct_tokens,
        prefills=step.prefills,
    )
