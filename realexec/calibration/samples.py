"""Steps condensed to what a fit works on: medians over equal decode steps, prefill steps one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np

from realexec.calibration.replay import Step
from sim.fitting.samples import Sample

#: Steps after a change of the batch that still feel it: with asynchronous scheduling two are in flight.
_NUM_TRANSIENT = 2


def samples_of(steps: Iterable[Step]) -> list[Sample]:
    """Samples of replayed steps, in order.

    A run of decode steps over the same calls gives the median of its durations at its mean context, since a step is
    affine in context; its first two steps are left out where there are others.
    """
    return [sample for _, run in groupby(steps, key=_run_key) for sample in _run_samples(list(run))]


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
