"""The closed form of `analysis.prediction` for an older engine, with what that engine adds."""

from __future__ import annotations

from analysis.gap import NaiveEstimate, explain_gap
from analysis.prediction import Prediction, Term, predict
from analysis.rounds import Deployment
from reproduce.deployment import System
from sim.fitting.parrot_engines import RELEASE_SECONDS
from sim.profile import Profile
from traces.workload import Workload


def predicted(workload: Workload, system: System, profile: Profile, num_engines: int = 1) -> list[Term]:
    """Terms of the predicted makespan; empty where the closed form does not apply."""
    prediction = _prediction(workload, system, profile, num_engines)
    return [*prediction.terms(), *_additions(prediction, system)] if prediction.levels else []


def explained(
    workload: Workload, system: System, profile: Profile, naive: NaiveEstimate, observed: float, num_engines: int
) -> list[Term]:
    """From a naive estimate to the simulated time; the terms add up to `observed`."""
    prediction = _prediction(workload, system, profile, num_engines)
    terms = [*explain_gap(prediction, naive), *_additions(prediction, system)]
    rest = observed - sum(term.seconds for term in terms)
    label = "submissions one by one, and calls that start before a round is over"
    return [*terms, Term(label, "simulated - sum", rest)]


def _prediction(workload: Workload, system: System, profile: Profile, num_engines: int) -> Prediction:
    deployment = Deployment(
        num_engines=num_engines,
        num_resident=system.num_resident,
        stage_bounds={stage: min(bound, system.num_resident) for stage, bound in (system.bounds or {}).items()},
        network_latency=system.network_latency,
        orchestration=system.orchestration,
        max_num_batched_tokens=profile.engine_defaults.max_num_batched_tokens,
        enable_prefix_caching=system.shares_prompts,
    )
    return predict(workload, profile.step_cost(False), deployment)


def _additions(prediction: Prediction, system: System) -> list[Term]:
    """A generate step more in each round of Parrot's engine, and the release of places by its dispatcher."""
    rounds = [each for level in prediction.levels for each in level.rounds]
    terms = []
    if system.profile == "parrot":
        steps = sum(each.count * each.first_step for each in rounds)
        terms.append(Term("a fill brings no token", f"{sum(r.count for r in rounds)} more steps", steps))
    if system.bounds is not None:
        # Where the dispatcher lets more in than the engine runs at once, the next call is there before a place is free.
        waited = {stage for stage, bound in system.bounds.items() if bound <= system.num_resident}
        bounded = [level for level in prediction.levels if level.label.split()[0] in waited]
        num_releases = sum(sum(each.count for each in level.rounds) - 1 for level in bounded)
        formula = f"{num_releases} x {RELEASE_SECONDS:.2f} s"
        terms.append(Term("places released by the dispatcher", formula, num_releases * RELEASE_SECONDS))
    return [term for term in terms if term.seconds]
