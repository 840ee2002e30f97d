"""From an estimate on the back of an envelope to the closed form: which term accounts for which second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.prediction import Level, Prediction, Term, waits
from traces.wording import counted


@dataclass(frozen=True, slots=True)
class NaiveEstimate:
    """Rounds x steps x step time, as the benchmark notes have it: 4 x 50 x 30 ms = 6 s.

    Parameters
    ----------
    num_rounds : int
    num_steps : int
        Decode steps of a round.
    step_time : float, seconds
    """

    num_rounds: int
    num_steps: int
    step_time: float

    @property
    def seconds(self) -> float:
        """The estimate."""
        return self.num_rounds * self.num_steps * self.step_time


def explain_gap(prediction: Prediction, naive: NaiveEstimate, observed: float | None = None) -> list[Term]:
    """What a naive estimate leaves out, term by term.

    Parameters
    ----------
    prediction : Prediction
        Closed form of the same workload. The estimate is taken to be about its widest level.
    naive : NaiveEstimate
    observed : float, seconds, optional
        A measured or simulated makespan; the last term is then what the closed form does not explain.

    Returns
    -------
    list of Term
        The first is the estimate. They add up to `prediction.seconds`, or to `observed` where it is given. A term can
        be negative: the estimate also counts something that is not there.

    Raises
    ------
    ValueError
        When the closed form does not apply to the workload.
    """
    seconds, widest = _seconds(prediction), _widest(prediction)
    terms = [
        Term("naive estimate", _product(naive.num_rounds, naive.num_steps, naive.step_time), naive.seconds),
        *_of_widest(widest, naive),
        *(
            Term(level.label, level.formula(), level.engine_seconds)
            for level in prediction.levels
            if level is not widest
        ),
        *waits(prediction.levels),
    ]
    if observed is not None:
        formula = f"{observed:.3f} s - closed form {seconds:.3f} s"
        terms.append(Term("not in the closed form", formula, observed - seconds))
    return [term for term in terms if term.seconds]


def explain_runs(prediction: Prediction, naive: NaiveEstimate, observed: Sequence[tuple[str, float]]) -> list[Term]:
    """From a naive estimate over the closed form to runs, one behind the other.

    Parameters
    ----------
    prediction : Prediction
    naive : NaiveEstimate
    observed : sequence of (str, float)
        What ran, such as "simulation", and its makespan in seconds; the simulation before the measurement.

    Returns
    -------
    list of Term
        Those of `explain_gap`, then what each run has over the one before, the first over the closed form. They add up
        to the last run.
    """
    terms = explain_gap(prediction, naive)
    before = ("closed form", _seconds(prediction))
    for label, seconds in observed:
        formula = f"{seconds:.3f} s - {before[0]} {before[1]:.3f} s"
        terms.append(Term(f"{label} over {before[0]}", formula, seconds - before[1]))
        before = (label, seconds)
    return terms


def envelope(prediction: Prediction, step_time: float) -> NaiveEstimate:
    """The estimate of somebody who knows rounds and output tokens of the widest level, and one step time, seconds.

    Raises
    ------
    ValueError
        When the closed form does not apply to the workload.
    """
    rounds = _widest(prediction).rounds
    return NaiveEstimate(sum(each.count for each in rounds), rounds[0].num_decode_steps + 1, step_time)


def _seconds(prediction: Prediction) -> float:
    if prediction.seconds is None:
        raise ValueError(f"workload {prediction.workload!r} has no closed form: {prediction.not_applicable}")
    return prediction.seconds


def _widest(prediction: Prediction) -> Level:
    """The level with the most calls on the busiest engine."""
    _seconds(prediction)  # without a closed form there are no levels
    return max(prediction.levels, key=lambda level: sum(each.count * each.num_calls for each in level.rounds))


def _of_widest(level: Level, naive: NaiveEstimate) -> list[Term]:
    """Terms that lead from the estimate to the engine time of the level it is about."""
    num_rounds = sum(each.count for each in level.rounds)
    per_round = naive.num_steps * naive.step_time
    extra_rounds = num_rounds - naive.num_rounds
    extra_steps = sum(each.count * (each.num_decode_steps - naive.num_steps) for each in level.rounds)
    slower = sum(each.count * each.num_decode_steps * (each.first_step - naive.step_time) for each in level.rounds)
    first = level.rounds[0]
    later_prefill = sum(each.count * each.prefill for each in level.rounds) - first.prefill
    naive_ms = f"{naive.step_time * 1e3:.1f} ms"
    return [
        Term("rounds", _product(extra_rounds, naive.num_steps, naive.step_time), extra_rounds * per_round),
        Term("steps: the prefill brings the first token", f"{extra_steps} x {naive_ms}", extra_steps * naive.step_time),
        Term("step time at this batch and prompt", f"{first.first_step * 1e3:.2f} ms, not {naive_ms}", slower),
        Term(
            "growth of the step time with context",
            f"{first.step_growth * 1e6:.2f} us a step",
            sum(each.count * each.growth for each in level.rounds),
        ),
        Term("first fill", f"prefill of {counted(first.num_calls, 'prompt')} an engine", first.prefill),
        Term("prefill of the later rounds", counted(num_rounds - 1, "round"), later_prefill),
    ]


def _product(num_rounds: int, num_steps: int, step_time: float) -> str:
    return f"{counted(num_rounds, 'round')} x {counted(num_steps, 'step')} x {step_time * 1e3:.1f} ms"
