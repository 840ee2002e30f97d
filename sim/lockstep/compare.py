"""Runs a case through both schedulers and stops at the first step in which they differ."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from sim.lockstep.cases import Case
from sim.lockstep.load import Key, Load
from sim.lockstep.native import MakeScheduler, NativeSide
from sim.lockstep.reference import ReferenceSide
from sim.lockstep.sides import OutputView, StepView
from sim.scheduler import Scheduler

#: Beyond this no drawn case goes; a comparison that does has made no progress.
MAX_STEPS = 200_000


@dataclass(slots=True)
class Counts:
    """What was compared, summed over cases."""

    cases: int = 0
    calls: int = 0
    steps: int = 0  # that ran something
    skipped_steps: int = 0
    preemptions: int = 0
    cached_calls: int = 0  # that found a prefix in the cache


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing in which the schedulers differ.

    Parameters
    ----------
    case : Case
    step : int
        Number of the step.
    reference, native : StepView, OutputView or str
        What each side shows; text when it raised an exception.
    history : list of (int, StepView)
        The last steps before, on which both agree.
    """

    case: Case
    step: int
    reference: StepView | OutputView | str
    native: StepView | OutputView | str
    history: list[tuple[int, StepView]]


@dataclass(slots=True)
class _Run:
    """One case under way."""

    case: Case
    native: NativeSide
    reference: ReferenceSide
    load: Load
    counts: Counts
    keys: list[Key] = field(default_factory=list)  # of the requests, by order of arrival
    history: deque[tuple[int, StepView]] = field(default_factory=lambda: deque(maxlen=4))
    num_planned: int = 0
    num_complete: int = 0


def compare(case: Case, counts: Counts | None = None, make_scheduler: MakeScheduler = Scheduler) -> Difference | None:
    """Run a case; the first difference, or None.

    Parameters
    ----------
    case : Case
    counts : Counts, optional
        Added to.
    make_scheduler : callable
        The native scheduler from its settings.
    """
    rng = np.random.default_rng(case.seed)
    native = NativeSide(case.settings, case.skip_share, rng, make_scheduler)
    run = _Run(case, native, ReferenceSide(case.settings), Load(case.workload), counts or Counts())
    depth = 2 if case.settings.async_scheduling else 1
    turn: int | None = 0
    difference = None
    while turn is not None and difference is None:
        _arrive(run, turn)
        num_before = run.num_planned
        if run.reference.has_work if case.plans_empty_steps else run.reference.has_unfinished:
            difference = _plan(run)
        is_full = run.num_planned - run.num_complete >= depth or run.num_planned == num_before
        if difference is None and is_full and run.num_planned > run.num_complete:
            difference = _complete(run, turn)
        turn = _next_turn(run, turn)
    run.counts.cases += 1
    run.counts.skipped_steps += native.num_skipped
    return difference


def _arrive(run: _Run, turn: int) -> None:
    """Both sides get a request of their own; those of one turn arrive at one instant."""
    for item in run.load.arriving(turn):
        sequence = len(run.keys)
        run.keys.append(item.key)
        run.counts.calls += 1
        for side in (run.reference, run.native):
            side.add(item.request(sequence, float(turn)), item.token_ids)


def _plan(run: _Run) -> Difference | None:
    reference = run.reference.schedule()
    native: StepView | str
    try:
        native = run.native.schedule()
    except Exception as error:  # a scheduler that breaks has differed, too
        native = f"{type(error).__name__}: {error}"
    step = run.num_planned
    run.num_planned += 1
    if run.num_planned > MAX_STEPS:
        raise RuntimeError(f"case {run.case.seed}: not done after {MAX_STEPS} steps")
    if native != reference:
        return Difference(run.case, step, reference, native, list(run.history))
    run.history.append((step, reference))
    run.counts.steps += bool(reference.scheduled)
    run.counts.preemptions += len(reference.preempted)
    return None


def _complete(run: _Run, turn: int) -> Difference | None:
    reference = run.reference.complete()
    native: OutputView | str
    try:
        native = run.native.complete()
    except Exception as error:
        native = f"{type(error).__name__}: {error}"
    step = run.num_complete
    run.num_complete += 1
    if native != reference:
        return Difference(run.case, step, reference, native, list(run.history))
    run.counts.cached_calls += sum(num_cached > 0 for _, num_cached, _ in reference.finished)
    run.load.finish([run.keys[number] for number, _, _ in reference.finished], turn)
    return None


def _next_turn(run: _Run, turn: int) -> int | None:
    """The turn after this one; the next arrival's when nothing is under way; None at the end."""
    if run.num_planned > run.num_complete or run.reference.has_unfinished:
        return turn + 1
    next_at = run.load.next_at
    return None if next_at is None else max(turn + 1, int(np.ceil(next_at)))
