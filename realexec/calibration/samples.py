"""Steps condensed to what a fit works on: medians over equal decode steps, and windows around prefills.

With asynchronous scheduling two steps are in flight, and the engine core notes the end of a step only when it has
launched the one after the next. Launching a step that no CUDA graph holds takes it longer than a decode step lasts, so
the step ahead of such a prefill looks long and the prefill short by as much. Their sum is right: a window is a run of
consecutive steps with prefills, the step before it and the step after it, and its sample is the time of all of them.
Where the launch outlasts the step ahead and the prefill itself, the device waits for the host, and the window says how
fast the host is.

With synchronous scheduling nothing overlaps, and a step is a window of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from realexec.calibration.parts import in_parts, mode_suffix
from realexec.calibration.replay import Step
from sim.fitting.samples import Load, Sample
from sim.sustained import FULL_CLOCKS

#: Steps after a change of the batch that still feel it: with asynchronous scheduling two are in flight.
_NUM_TRANSIENT = 2

#: Of many steps with prefills in a row: those at either end that are left out, and the fewest that make a sample.
_NUM_EDGE = 2
_FEWEST_LONG = 3


def samples_of(steps: Sequence[Step], *, core_launches: bool = True) -> list[Sample]:
    """Samples of replayed steps, in order.

    Parameters
    ----------
    steps : sequence of Step
    core_launches : bool
        Whether the engine core itself launches steps, so that the end of the step ahead of one with prefills is noted
        when the launch is over.

    Notes
    -----
    A run of decode steps over the same calls gives the median of its durations at its mean context, since a step is
    affine in context; its first two steps are left out. Decode steps in a window are in no run.
    """
    samples: list[Sample] = []
    for _, of_point in groupby(steps, key=lambda step: (step.asynchronous, step.point)):
        samples.extend(_point_samples(list(of_point)))
    if not core_launches:
        samples = [sample._replace(launches=()) for sample in samples]
    return in_parts(samples)


def _point_samples(steps: list[Step]) -> Iterator[Sample]:
    begin = 0
    for first, end in _windows(steps):
        yield from _decode_samples(steps[begin:first])
        window = steps[first:end]
        yield _window_sample(window)
        yield from _long_samples(window)
        begin = end
    yield from _decode_samples(steps[begin:])


def _windows(steps: Sequence[Step]) -> list[tuple[int, int]]:
    """Bounds of the windows of a point; those that would have a step in common are one."""
    windows: list[tuple[int, int]] = []
    for index, step in enumerate(steps):
        if not step.prefills:
            continue
        # The engine was idle before its first step, and is again once no call decodes.
        reach = 1 if step.asynchronous else 0
        first = index if step.is_first or index == 0 else index - reach
        end = index + 1 if index + 1 == len(steps) or steps[index + 1].is_first else index + 1 + reach
        if windows and first < windows[-1][1]:
            first, _ = windows.pop()
        windows.append((first, end))
    return windows


def _long_samples(steps: Sequence[Step]) -> Iterator[Sample]:
    """The inner steps of a window that begins with an idle engine and prefills for many steps in a row.

    Each of these is launched while the one before runs, and noted late by the same launch, so that it lasts as long as
    it seems to. The window as a whole is no sample of steps, since nothing hides the launch of its first.
    """
    if not (steps[0].is_first and steps[0].asynchronous):
        return
    num_prefilling = next((index for index, step in enumerate(steps) if not step.prefills), len(steps))
    ends = np.cumsum([step.seconds for step in steps[: num_prefilling - _NUM_EDGE]])
    num_early = int(np.searchsorted(ends, FULL_CLOCKS, side="right"))
    for inner, is_power_bound in ((steps[_NUM_EDGE:num_early], False), (steps[num_early : len(ends)], True)):
        if len(inner) >= _FEWEST_LONG:
            yield _window_sample(inner)._replace(is_first=False, is_power_bound=is_power_bound)


def _decode_samples(steps: Sequence[Step]) -> Iterator[Sample]:
    for _, each in groupby(steps, key=lambda step: (step.num_decodes, step.sharing)):
        if steady := list(each)[_NUM_TRANSIENT:]:
            yield _decode_sample(steady)


def _decode_sample(steady: list[Step]) -> Sample:
    seconds = np.array([step.seconds for step in steady])
    median = float(np.median(seconds))
    # Standard error of a median of normal errors, their spread from the median absolute deviation.
    noise = 1.4826 * float(np.median(np.abs(seconds - median))) * np.sqrt(np.pi / 2 / len(seconds))
    context = round(np.mean([step.num_context_tokens for step in steady]))
    load = Load(steady[0].num_decodes, context, (), steady[0].sharing)
    return _sample(steady[0], median, (load,), len(steady), float(noise))


def _window_sample(steps: Sequence[Step]) -> Sample:
    loads = tuple(Load(step.num_decodes, step.num_context_tokens, step.prefills, step.sharing) for step in steps)
    # The core notes the end of the step ahead when it has launched this one.
    launches = tuple(
        before.seconds if step.prefills and not before.prefills else 0.0
        for before, step in zip([steps[0], *steps], steps, strict=False)
    )
    sample = _sample(steps[0], sum(step.seconds for step in steps), loads, 1, 0.0)
    return sample._replace(launches=launches if steps[0].asynchronous else ())


def _sample(step: Step, seconds: float, loads: tuple[Load, ...], num_steps: int, noise: float) -> Sample:
    return Sample(
        point=step.point + mode_suffix(step.asynchronous),
        kind=step.kind,
        held_out=step.held_out,
        asynchronous=step.asynchronous,
        is_first=step.is_first,
        seconds=seconds,
        num_steps=num_steps,
        noise=noise,
        is_power_bound=False,
        loads=loads,
    )
