"""The closed form behind `dovetail predict`: makespan of staged applications, written out term by term.

For applications whose graphs are levels of equal calls (chains, map-reduce, multi-agent rounds): every level takes
rounds x (prefill + decode steps x step time), plus the network and the think time before it; the levels add up. This
explains a figure, it does not replace the simulator; `analysis.rounds` says what a round leaves out. Bounds that hold
for any workload are in `analysis.bounds`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from analysis.bounds import Bounds, lower_bounds
from analysis.graph import levels
from analysis.rounds import CallShape, Deployment, Round, StepCost, rounds_of
from traces.prefix import content_keys
from traces.workload import Application, Call, Workload, num_prompt_tokens


@dataclass(frozen=True, slots=True)
class Term:
    """One line of a sum.

    Parameters
    ----------
    label : str
        What the time goes to.
    formula : str
        The same with its numbers.
    seconds : float
    """

    label: str
    formula: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.label}: {self.formula} = {self.seconds:.3f} s"


@dataclass(frozen=True, slots=True)
class Level:
    """The calls of all applications at one depth.

    Parameters
    ----------
    label : str
        Stage names, and a remark when the calls differ.
    rounds : tuple of Round
    network : float, seconds
        Latency before the level that other applications' rounds do not hide.
    delay : float, seconds
        Longest think or tool time before a call of the level.
    """

    label: str
    rounds: tuple[Round, ...]
    network: float
    delay: float

    @property
    def engine_seconds(self) -> float:
        """Prefill and decode of all rounds."""
        return sum(each.seconds for each in self.rounds)

    def formula(self) -> str:
        """The rounds written out."""
        return " + ".join(each.formula() for each in self.rounds)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What can be said about a workload without simulating it.

    Parameters
    ----------
    workload : str
        Its name.
    levels : tuple of Level
        Empty when the closed form does not apply.
    not_applicable : str
        Why it does not; empty when it does.
    bounds : Bounds
        Lower bounds, which always apply.
    """

    workload: str
    levels: tuple[Level, ...]
    not_applicable: str
    bounds: Bounds

    @property
    def seconds(self) -> float | None:
        """Predicted makespan, for one application its JCT; None when the closed form does not apply."""
        return sum(term.seconds for term in self.terms()) if self.levels else None

    def terms(self) -> list[Term]:
        """The sum: engine time level by level, then network, then think time; equal neighbours share a line."""
        found = [
            Term(label, _levels_times(len(same), formula), sum(level.engine_seconds for level in same))
            for (label, formula), same in _runs(self.levels, lambda level: (level.label, level.formula()))
        ]
        return found + waits(self.levels)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "workload": self.workload,
            "seconds": self.seconds,
            "terms": [{"label": t.label, "formula": t.formula, "seconds": t.seconds} for t in self.terms()],
            "not_applicable": self.not_applicable or None,
            "lower_bounds": {
                "mean_jct": self.bounds.mean_jct,
                "makespan": self.bounds.makespan,
                "critical_path_makespan": self.bounds.critical_path_makespan,
                "work_makespan": self.bounds.work_makespan,
            },
        }

    def lines(self) -> list[str]:
        """The prediction as text, one term a line."""
        head = [f"closed form does not apply: {self.not_applicable}"] if self.not_applicable else []
        total = [f"total: {self.seconds:.3f} s"] if self.seconds is not None else []
        return [*head, *map(str, self.terms()), *total, *map(str, bound_terms(self.bounds))]


def predict(workload: Workload, cost: StepCost, deployment: Deployment) -> Prediction:
    """Closed form, where it applies, and lower bounds of a workload.

    Parameters
    ----------
    workload : Workload
    cost : StepCost
        Of one engine.
    deployment : Deployment

    Returns
    -------
    Prediction
        With levels when there is one application, or several of the same shape that arrive together.
    """
    bounds = lower_bounds(workload, cost, deployment)
    reason = _why_not(workload.applications)
    found = () if reason else tuple(_levels(workload.applications, cost, deployment))
    return Prediction(workload.name, found, reason, bounds)


def bound_terms(bounds: Bounds) -> list[Term]:
    """The lower bounds as lines."""
    count = len(bounds.critical_path)
    noun = "application" if count == 1 else f"{count:,} applications"
    chain = f"mean over {noun}" if count > 1 else "longest chain of the application"
    return [
        Term("lower bound on mean JCT", f"{chain}, alone on an idle engine", bounds.mean_jct),
        Term("lower bound on makespan, critical path", "last end of these chains", bounds.critical_path_makespan),
        Term("lower bound on makespan, work", "all tokens in the cheapest steps / engines", bounds.work_makespan),
    ]


def waits(found: Sequence[Level]) -> list[Term]:
    """Network and think time of levels, one line each; none when it is nil."""
    parts = {"network": [level.network for level in found], "think and tool time": [level.delay for level in found]}
    terms = []
    for label, seconds in parts.items():
        if any(seconds):
            runs = [(value, len(same)) for value, same in _runs(seconds, lambda value: value) if value]
            formula = " + ".join(_levels_times(count, f"{value:.3f} s") for value, count in runs)
            terms.append(Term(label, formula, sum(seconds)))
    return terms


def _why_not(applications: Sequence[Application]) -> str:
    """Why the closed form does not apply; empty when it does."""
    if len({application.arrival for application in applications}) > 1:
        return "applications arrive at different times"
    if len({_shape(application) for application in applications}) > 1:
        return "applications differ"
    return ""


def _shape(application: Application) -> tuple[object, ...]:
    """What must agree for two applications to take the same time."""
    outputs = {call.id: call.output_tokens for call in application.calls}
    return tuple(
        tuple((call.stage, num_prompt_tokens(call, outputs), call.output_tokens, call.delay) for call in level)
        for level in levels(application)
    )


def _levels(applications: Sequence[Application], cost: StepCost, deployment: Deployment) -> list[Level]:
    """Levels of equal applications that arrive together: the calls of one depth compete for the engines."""
    shapes = level_shapes(applications, deployment)
    found: list[Level] = []
    for calls, shape in zip(levels(applications[0]), shapes, strict=True):
        resident = deployment.resident([call.stage for call in calls])
        rounds = rounds_of(len(calls) * len(applications), resident, shape, cost, deployment)
        hidden = _hidden_wait(rounds, len(applications)) if found else 0.0
        is_paid = deployment.orchestration == "client" or not found
        network = max(0.0, deployment.network_latency - hidden) if is_paid else 0.0
        found.append(Level(_label(calls, applications[0]), tuple(rounds), network, max(call.delay for call in calls)))
    return found


def _hidden_wait(rounds: Sequence[Round], num_applications: int) -> float:
    """Seconds of a level in which the engines serve the other applications, so that waiting costs nothing."""
    num_rounds = sum(each.count for each in rounds)
    num_others = num_rounds - -(-num_rounds // num_applications)
    return num_others * sum(each.seconds for each in rounds) / num_rounds


def level_shapes(applications: Sequence[Application], deployment: Deployment) -> list[CallShape]:
    """Mean prompt, mean cached prefix and longest output of each level; a level waits for its longest call.

    Notes
    -----
    With prefix caching, a call finds the whole blocks that earlier levels of any of the applications computed.
    """
    by_application = [levels(application) for application in applications]
    seen: set[tuple[object, ...]] = set()
    shapes = []
    for per_application in zip(*by_application, strict=True):
        paired = [(app, call) for app, calls in zip(applications, per_application, strict=True) for call in calls]
        contents = [_content(application, call) for application, call in paired]
        prompts = [sum(tokens for _, _, tokens in content[:-1]) for content in contents]
        cached = [_num_cached(content[:-1], seen, deployment.block_size) for content in contents]
        shapes.append(CallShape(_mean(prompts), _mean(cached), max(call.output_tokens for _, call in paired)))
        if deployment.enable_prefix_caching:
            seen.update(tuple(content[: k + 1]) for content in contents for k in range(len(content)))
    return shapes


def _content(application: Application, call: Call) -> list[tuple[str, int | str, int]]:
    """Prompt and output of a call as named stretches, as `traces.prefix` names them."""
    outputs = {each.id: each.output_tokens for each in application.calls}
    return [*content_keys(application.id, call, outputs), (application.id, call.id, call.output_tokens)]


def _num_cached(prompt: Sequence[tuple[str, int | str, int]], seen: set[tuple[object, ...]], block_size: int) -> int:
    """Leading tokens of a prompt in whole cached blocks; at least one token is left to compute."""
    num_tokens = num_shared = 0
    for k, (_, _, tokens) in enumerate(prompt):
        num_tokens += tokens
        if tuple(prompt[: k + 1]) in seen:
            num_shared = num_tokens
    usable = min(num_shared, num_tokens - 1)
    return usable - usable % block_size


def _label(calls: Sequence[Call], application: Application) -> str:
    """Stage names of a level, with a remark when its calls differ."""
    outputs = {call.id: call.output_tokens for call in application.calls}
    lengths = {(num_prompt_tokens(call, outputs), call.output_tokens) for call in calls}
    remark = " (calls differ: mean prompt, longest output)" if len(lengths) > 1 else ""
    return " and ".join(dict.fromkeys(call.stage for call in calls)) + remark


def _mean(values: Sequence[int]) -> int:
    return round(sum(values) / len(values))


def _levels_times(count: int, formula: str) -> str:
    return formula if count == 1 else f"{count} levels x ({formula})"


def _runs(items: Sequence[Any], key: Callable[[Any], Any]) -> list[tuple[Any, list[Any]]]:
    """Neighbours with equal keys, gathered."""
    return [(value, list(same)) for value, same in groupby(items, key)]
