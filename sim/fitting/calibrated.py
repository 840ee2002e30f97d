"""Fit the step cost to the samples of a calibration: choose a form, find its coefficients and their covariance.

The form is chosen by cross-validation over whole points of the part that may be fitted: starting from the simplest, a
refinement stays when it lowers the error by more than `MIN_GAIN` and by more than chance. The held-out points take no
part in that either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from sim.fitting.design import Design
from sim.fitting.forms import IDLE_START, StepForm, base_form, refinements, synchronous_refinements
from sim.fitting.launches import UNKNOWN_LAUNCHES, MeasuredLaunches, measured_launches, usual_launch
from sim.fitting.linear import huber_lstsq
from sim.fitting.medians import with_medians
from sim.fitting.output import residual, rounded
from sim.fitting.samples import Sample
from sim.fitting.windows import sample_seconds
from sim.profile import Form, Residual, Terms, Uncertainty, step_cost_of

#: A refinement must lower the mean relative error in cross-validation by this share of it.
MIN_GAIN = 0.01

_ALTERNATIVES = ("num_resident_tokens", "launch_seconds", "launch_seconds_per_decode")
_ALL = "all held-out samples, asynchronous scheduling"
_SINGLE = f"{_ALL}, every repeat by itself"
_USUAL = f"{_ALL}, every repeat by itself, launches as the profile has them"
_SYNCHRONOUS = ("synchronous_seconds_per_step", "synchronous_seconds_per_decode")
_NUM_FOLDS = 5
_NUM_BRANCH_ROUNDS = 5
_FEWEST_POINTS = 3  # for a slowdown
_LARGEST_ERROR = 0.1  # one stall of the host must not decide between forms
_MOST_STEPS = 16  # a median over more does not count for more

#: Keys that attention takes at a time. Once so many calls fill the GPU, one with fewer takes no less time, and a step
#: is not affine in its context: no form here describes that.
_KEY_BLOCK = 128
_FILLING_CALLS = 64


@dataclass(frozen=True, slots=True)
class CalibratedFit:
    """What a fit found.

    Parameters
    ----------
    terms : Terms
    idle_start : float, seconds
        What the first prefill of an idle engine takes longer.
    forms : tuple of Form
        All that were tried, in order.
    uncertainty : Uncertainty
    residuals : tuple of Residual
    """

    terms: Terms
    idle_start: float
    forms: tuple[Form, ...]
    uncertainty: Uncertainty
    residuals: tuple[Residual, ...]


def fit(samples: Sequence[Sample], capture_sizes: tuple[int, ...] = (), num_parallel_calls: int = 0) -> CalibratedFit:
    """Fit all samples that are not held out.

    Parameters
    ----------
    samples : sequence of Sample
        Windows that repeat each other count as one, of the median time.
    capture_sizes : tuple of int
        Of the engine's CUDA graphs; padding to them is one of the refinements.
    num_parallel_calls : int
        As in `sim.step_cost.hit_share`; 0 where nobody knows.
    """
    launches = measured_launches(samples, capture_sizes[-1]) if capture_sizes else UNKNOWN_LAUNCHES
    samples = [_with_idle_launch(sample, launches) for sample in samples]
    usable = [sample for sample in with_medians(samples) if is_usable(sample)]
    fitted = [s for s in usable if not (s.held_out or s.is_power_bound or is_beyond_forms(s))]
    # Synchronous steps add host time to the same terms: they cannot tell which form the terms have.
    overlapped = [sample for sample in fitted if sample.asynchronous]
    form, record = choose_form(overlapped or fitted, capture_sizes, num_parallel_calls, launches)
    if overlapped and len(overlapped) < len(fitted):
        form, more = choose_synchronous(form, fitted)
        record += more
    values = coefficients_of(form, fitted)
    bound = [sample for sample in usable if sample.is_power_bound and not sample.held_out]
    terms, found = _with_slowdown(form.terms(values), bound, len(form.names))
    record += found
    errors = (*residuals(terms, usable), *_single_residual(terms, samples))
    return CalibratedFit(terms, values[IDLE_START], tuple(record), covariance(form, fitted, values), errors)


def _with_idle_launch(sample: Sample, launches: MeasuredLaunches) -> Sample:
    """A sample of an idle engine with the median launch as that of its first step, which nothing shows."""
    if not (sample.is_first and sample.launches and launches.beyond_graphs):
        return sample
    is_beyond = sample.loads[0].num_tokens > launches.num_graph_tokens
    usual = usual_launch(launches.beyond_graphs if is_beyond else launches.within_graphs, 0.0)
    return sample._replace(launches=(usual, *sample.launches[1:]))


def is_usable(sample: Sample) -> bool:
    """Whether a sample says something about steps: the first of an idle engine only where a single call woke it."""
    return not sample.is_first or (sample.kind == "idle" and sample.asynchronous and len(sample.loads[0].prefills) == 1)


def is_beyond_forms(sample: Sample) -> bool:
    """Whether something else than what a form describes decides how long a sample takes."""
    first = sample.loads[0]
    is_short = first.num_decodes >= _FILLING_CALLS and first.num_context_tokens < _KEY_BLOCK * first.num_decodes
    return is_short and not sample.has_prefills


def choose_form(
    samples: Sequence[Sample],
    capture_sizes: tuple[int, ...],
    num_parallel_calls: int = 0,
    launches: MeasuredLaunches = UNKNOWN_LAUNCHES,
) -> tuple[StepForm, list[Form]]:
    """The form that cross-validation keeps, and the record of all tried."""
    base = base_form(samples, num_parallel_calls, launches)
    steps = refinements(samples, capture_sizes, launches_known=bool(launches.beyond_graphs))
    return _search("base", base, steps, samples)


def choose_synchronous(form: StepForm, samples: Sequence[Sample]) -> tuple[StepForm, list[Form]]:
    """What synchronous scheduling adds to a form: cross-validation over its points, the asynchronous ones all kept."""
    overlapped = [sample for sample in samples if sample.asynchronous]
    tested = [sample for sample in samples if not sample.asynchronous]
    return _search("synchronous scheduling: base", form, synchronous_refinements(), tested, overlapped)


def _search(
    base: str,
    form: StepForm,
    steps: Iterable[tuple[str, list[dict[str, Any]]]],
    samples: Sequence[Sample],
    others: Sequence[Sample] = (),
) -> tuple[StepForm, list[Form]]:
    """Refine a form step by step as far as cross-validation over `samples` supports; the record of all tried."""
    errors = cross_validated(form, samples, others)
    tried = [(_record(base, len(form.names), errors), form)]
    for name, changes in steps:
        if "num_resident_tokens" in changes[0] and not form.repeated_context:
            continue
        candidates = [replace(form, **change) for change in changes]
        results = [(cross_validated(each, samples, others), each) for each in candidates]
        details = [_detail(change) if len(changes) > 1 else "" for change in changes]
        tried += [
            (_record(name + more, len(each.names), found), each)
            for more, (found, each) in zip(details, results, strict=True)
        ]
        found, candidate = min(results, key=lambda result: _score(result[0], samples))
        if {"launch_seconds", "launch_seconds_per_decode"} & {
            *changes[0]
        }:  # one too long delays every such step, one too short those that wait
            found, candidate = next(each for each in results if not _is_sure(found, each[0], samples))
        if _is_better(found, errors, samples):
            form, errors = candidate, found
    return form, [_chosen(record, each == form) for record, each in tried]


def _is_better(new: np.ndarray, old: np.ndarray, samples: Sequence[Sample]) -> bool:
    """Whether errors fell by `MIN_GAIN`, and surely."""
    return _is_sure(new, old, samples) and _score(new, samples) < (1 - MIN_GAIN) * _score(old, samples)


def _is_sure(new: np.ndarray, old: np.ndarray, samples: Sequence[Sample]) -> bool:
    """Whether errors fell by more than the standard error of that fall over points."""
    fall = np.minimum(np.abs(old), _LARGEST_ERROR) - np.minimum(np.abs(new), _LARGEST_ERROR)
    points = np.array([sample.point for sample in samples])
    by_point = np.array([fall[points == point].mean() for point in sorted(set(points.tolist()))])
    return bool(by_point.mean() > by_point.std(ddof=1) / np.sqrt(len(by_point)))


def cross_validated(form: StepForm, samples: Sequence[Sample], others: Sequence[Sample] = ()) -> np.ndarray:
    """Relative errors of every sample, predicted from `others` and the points of the other folds."""
    points = sorted({sample.point for sample in samples})
    folds = {point: index % _NUM_FOLDS for index, point in enumerate(np.random.default_rng(0).permutation(points))}
    fold_of = np.array([folds[sample.point] for sample in samples])
    errors = np.zeros(len(samples))
    for fold in range(_NUM_FOLDS):
        values = coefficients_of(
            form, [*others, *(sample for sample, is_out in zip(samples, fold_of == fold, strict=True) if not is_out)]
        )
        left_out = np.flatnonzero(fold_of == fold)
        tested = [samples[index] for index in left_out.tolist()]
        errors[left_out] = _errors(form.terms(values), tested, values[IDLE_START])
    return errors


def coefficients_of(form: StepForm, samples: Sequence[Sample]) -> dict[str, float]:
    """Coefficients with the smallest Huber loss of relative errors, none negative.

    What synchronous scheduling adds is fitted to what its samples take beyond the terms of the asynchronous ones, whose
    launches are hidden: the device's time shows in those alone.
    """
    overlapped = [sample for sample in samples if sample.asynchronous]
    values = _solved(form, overlapped or samples, {}, form.names)
    others = [sample for sample in samples if not sample.asynchronous]
    return _solved(form, others, values, (*_SYNCHRONOUS, *form.synchronous)) if overlapped and others else values


def _solved(
    form: StepForm, samples: Sequence[Sample], values: dict[str, float], free: Sequence[str]
) -> dict[str, float]:
    """`values` with the coefficients `free` fitted to `samples`.

    Which side of its maxima a step is on depends on the coefficients, so it is settled in a few rounds.
    """
    design = Design(form, samples)
    weights = np.array([_weight(sample) for sample in samples])
    seconds = np.array([sample.seconds for sample in samples])
    is_free = np.array([name in free for name in form.names])
    for _ in range(_NUM_BRANCH_ROUNDS):
        matrix, constant = design.matrix(values)
        kept = matrix[:, ~is_free] @ np.array([values[name] for name in form.names if name not in free])
        rest = (seconds - constant - kept) * weights
        solution = huber_lstsq(matrix[:, is_free] * weights[:, None], rest, seconds)
        values = values | dict(zip([name for name in form.names if name in free], solution.tolist(), strict=True))
    return values


def _weight(sample: Sample) -> float:
    """Of an error in a fit: windows as often as they were measured; steps over the same calls err together."""
    return float(sample.num_steps**0.5 if sample.has_prefills else min(sample.num_steps, _MOST_STEPS) ** 0.25)


def _with_slowdown(terms: Terms, bound: Sequence[Sample], num_terms: int) -> tuple[Terms, list[Form]]:
    """Terms with the slowdown of sustained prefills, if that predicts other points better, and the record of that.

    It is what the samples take, together, beyond the other terms, and leaves those as they are.
    """
    points = np.array([sample.point for sample in bound])
    if len(set(points.tolist())) < _FEWEST_POINTS:
        return terms, []
    measured, plain = np.array([sample.seconds for sample in bound]), np.array(predicted(terms, bound, 0.0))

    def slowdown(kept: np.ndarray) -> float:
        return max(0.0, float(measured[kept].sum() / plain[kept].sum()) - 1)

    errors = plain / measured - 1
    slowed = plain * [1 + slowdown(points != point) for point in points] / measured - 1
    is_kept = _is_better(slowed, errors, bound)
    name = "prefills that last until clocks fall: "
    record = [
        _chosen(_record(f"{name}base", num_terms, errors), not is_kept),
        _chosen(_record(f"{name}slowdown", num_terms + 1, slowed), is_kept),
    ]
    if is_kept:
        terms = msgspec.structs.replace(terms, sustained_slowdown=rounded(slowdown(np.full(len(bound), True))))
    return terms, record


def predicted(terms: Terms, samples: Sequence[Sample], idle_start: float) -> list[float]:
    """Durations of samples, by the very code that simulations use."""
    costs = {is_async: step_cost_of(terms, is_async) for is_async in (True, False)}
    return [sample_seconds(costs[sample.asynchronous], sample, idle_start) for sample in samples]


def _errors(terms: Terms, samples: Sequence[Sample], idle_start: float) -> np.ndarray:
    measured = np.array([sample.seconds for sample in samples])
    errors: np.ndarray = np.array(predicted(terms, samples, idle_start)) / measured - 1
    return errors


def residuals(terms: Terms, samples: Sequence[Sample]) -> list[Residual]:
    """Errors by kind of step and of scheduling, fitted and held out."""
    groups: dict[tuple[bool, str], list[Sample]] = {}
    for sample in samples:
        if not sample.is_first:
            is_unfitted = is_beyond_forms(sample) or (sample.is_power_bound and not terms.sustained_slowdown)
            groups.setdefault((sample.held_out or is_unfitted, _label(sample)), []).append(sample)
            if sample.held_out and sample.asynchronous:
                groups.setdefault((True, _ALL), []).append(sample)
    return [
        residual(label, predicted(terms, group, 0.0), [sample.seconds for sample in group], fitted=not held_out)
        for (held_out, label), group in sorted(groups.items())
    ]


def _single_residual(terms: Terms, samples: Sequence[Sample]) -> Iterator[Residual]:
    """Of the held-out samples with every repeat, so that the errors hold the noise of single windows."""
    chosen = [sample for sample in samples if sample.held_out and sample.asynchronous and not sample.is_first]
    if chosen:
        measured = [sample.seconds for sample in chosen]
        yield residual(_SINGLE, predicted(terms, chosen, 0.0), measured, fitted=False)
        if terms.launch_holds_core:
            usual = [sample._replace(launches=()) for sample in chosen]
            yield residual(_USUAL, predicted(terms, usual, 0.0), measured, fitted=False)


def covariance(form: StepForm, samples: Sequence[Sample], values: dict[str, float]) -> Uncertainty:
    """Covariance of the coefficients that are not zero, from fits that leave out one point after the other.

    Notes
    -----
    The jackknife over clusters (Efron and Stein, Annals of Statistics 9 (1981) 586): steps of one point err together,
    so a whole point, or a part of the windows beside a background, is one observation. Parts of one background were
    measured in the same points; what errs in all of them alike is not in it. Coefficients at zero lie on their bound
    and are taken as exact.
    """
    names = [name for name in form.names if values[name] > 0 and name != IDLE_START]
    points = sorted({sample.point for sample in samples})
    fits = [coefficients_of(form, [sample for sample in samples if sample.point != point]) for point in points]
    spread = np.array([[each[name] for name in names] for each in fits])
    spread -= spread.mean(axis=0)
    matrix = (len(points) - 1) / len(points) * spread.T @ spread
    return Uncertainty(tuple(names), tuple(tuple(float(f"{v:.6g}") for v in row) for row in matrix.tolist()))


def _label(sample: Sample) -> str:
    kinds = {"decode": "decode staircases", "prefill": "prefills beside decoding calls"}
    kinds |= {"sharing": "calls that share prefixes", "idle": "single calls", "client": "bursts of calls"}
    steps = "windows with prefills" if sample.has_prefills else "decode steps"
    if sample.is_power_bound:
        steps += " that last until clocks fall"
    elif is_beyond_forms(sample):
        steps += f" of many calls below {_KEY_BLOCK} tokens"
    return f"{kinds[sample.kind]}, {steps}, {'asynchronous' if sample.asynchronous else 'synchronous'} scheduling"


def _score(errors: np.ndarray, samples: Sequence[Sample]) -> float:
    """Mean absolute error; a window counts as often as it was measured, decode steps over the same calls once."""
    counts = [sample.num_steps if sample.has_prefills else 1 for sample in samples]
    return float(np.average(np.minimum(np.abs(errors), _LARGEST_ERROR), weights=counts))


def _detail(change: dict[str, Any]) -> str:
    """The number that tells one of several alternatives from the others."""
    return "".join(f" ({value})" for name, value in change.items() if name in _ALTERNATIVES)


def _record(name: str, num_terms: int, errors: np.ndarray) -> Form:
    median, p95 = (round(float(value), 5) for value in np.percentile(np.abs(errors), [50, 95]))
    return Form(name, num_terms, median, p95, False)


def _chosen(record: Form, chosen: bool) -> Form:
    return Form(record.name, record.num_terms, record.median, record.p95, chosen)
