"""Lower bounds on completion times that hold for any workload and any policy, without simulating.

Two resources bound a run from below. The critical path: no call starts before those it depends on, and no step is
shorter than with one call on an idle engine. The work: every token has to pass through some step of some engine.
Both assume that a step never gets shorter with more calls, more context or more tokens in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import linprog

from analysis.graph import longest_chain
from analysis.rounds import CallShape, Deployment, StepCost, prefill_time
from traces.prefix import prefix_paths
from traces.workload import Call, Workload, num_prompt_tokens


@dataclass(frozen=True, slots=True)
class Bounds:
    """Lower bounds, seconds.

    Parameters
    ----------
    critical_path : dict of application id to float
        No application completes in less after its arrival.
    critical_path_makespan : float
        Latest end of these paths, counted from the first arrival.
    work_makespan : float
        All tokens in the cheapest steps, spread evenly over the engines, after one network latency.
    """

    critical_path: dict[str, float]
    critical_path_makespan: float
    work_makespan: float

    @property
    def mean_jct(self) -> float:
        """Lower bound on the mean job completion time."""
        return sum(self.critical_path.values()) / len(self.critical_path)

    @property
    def makespan(self) -> float:
        """Lower bound on the makespan: the larger of the two."""
        return max(self.critical_path_makespan, self.work_makespan)


def lower_bounds(workload: Workload, cost: StepCost, deployment: Deployment) -> Bounds:
    """Critical-path and work bounds of a workload.

    Parameters
    ----------
    workload : Workload
    cost : StepCost
    deployment : Deployment
    """
    work = call_work(workload, deployment)
    paths = critical_paths(workload, work, cost, deployment)
    begin = min(application.arrival for application in workload.applications)
    ends = [application.arrival + paths[application.id] for application in workload.applications]
    busy = work_time([each for own in work for each in own.values()], cost, deployment)
    return Bounds(paths, max(ends) - begin, deployment.network_latency + busy / deployment.num_engines)


def call_work(workload: Workload, deployment: Deployment) -> list[dict[str, CallShape]]:
    """Least work of every call: one dict of call id to `CallShape` per application, in workload order.

    With prefix caching, everything that any other call of the workload shares is taken for cached.
    """
    shared = iter(prefix_paths(workload) if deployment.enable_prefix_caching else ())
    work = []
    for application in workload.applications:
        outputs = {call.id: call.output_tokens for call in application.calls}
        own = {}
        for call in application.calls:
            num_prompt = num_prompt_tokens(call, outputs)
            path = next(shared, ())
            # An engine computes at least the last prompt token, or it would have nothing to sample from.
            num_cached = min(path[-1].end, num_prompt - 1) if path else 0
            own[call.id] = CallShape(num_prompt, num_cached, call.output_tokens)
        work.append(own)
    return work


def critical_paths(
    workload: Workload, work: list[dict[str, CallShape]], cost: StepCost, deployment: Deployment
) -> dict[str, float]:
    """Longest chain of each application on an idle engine, seconds: network + delay + prefill + decode of its calls."""
    per_call = deployment.network_latency if deployment.orchestration == "client" else 0.0
    once = deployment.network_latency - per_call
    paths = {}
    for application, own in zip(workload.applications, work, strict=True):

        def seconds(call: Call, own: dict[str, CallShape] = own) -> float:
            return per_call + call.delay + _alone(own[call.id], cost, deployment)

        paths[application.id] = once + longest_chain(application, seconds)
    return paths


def _alone(work: CallShape, cost: StepCost, deployment: Deployment) -> float:
    """Seconds of one call on an idle engine: its prefill, then its decode steps with a batch of one."""
    prompt = [(work.num_prompt_tokens - work.num_cached_tokens, work.num_cached_tokens)]
    num_steps = work.num_output_tokens - 1
    first, growth = cost.decode_run(1, work.num_prompt_tokens + 1)
    prefill = prefill_time(cost, prompt, deployment.max_num_batched_tokens)
    return prefill + num_steps * first + growth * num_steps * (num_steps - 1) / 2


def work_time(work: list[CallShape], cost: StepCost, deployment: Deployment) -> float:
    """Engine seconds of the cheapest steps that carry all tokens of these calls.

    Parameters
    ----------
    work : list of CallShape
    cost : StepCost
    deployment : Deployment

    Notes
    -----
    A covering linear program over kinds of steps (decoding calls x prefill tokens): the least total time whose steps
    hold all decode tokens and all prefill tokens. Kinds are powers of two up to the limits, so tokens that ride along
    for nothing in a memory-bound step are counted as such. Context and prompt lengths enter by their means.
    """
    num_prefill = sum(each.num_prompt_tokens - each.num_cached_tokens for each in work)
    num_decode = sum(each.num_output_tokens - 1 for each in work)
    # Call i attends to prompt + 1, prompt + 2, ... tokens in its output - 1 decode steps.
    context = sum((n := e.num_output_tokens - 1) * (e.num_prompt_tokens + 1) + n * (n - 1) // 2 for e in work)
    mean_context = context / num_decode if num_decode else 0.0
    most_resident = max(deployment.num_resident, *deployment.stage_bounds.values(), 1)
    decodes = _powers(min(most_resident, len(work)))
    prefills = _powers(min(deployment.max_num_batched_tokens, num_prefill))
    kinds = [kind for kind in product(decodes, prefills) if any(kind)]
    mean_prompt = max(1, round(num_prefill / len(work)))
    seconds = [cost.step(b, round(b * mean_context), _pieces(p, mean_prompt)) for b, p in kinds]
    held = -np.array(kinds, dtype=float).T
    # In units of the number of full steps, so that the solver's absolute tolerances fit any workload.
    scale = max(num_prefill / prefills[-1], num_decode / decodes[-1])
    result = linprog(seconds, A_ub=held, b_ub=[-num_decode / scale, -num_prefill / scale])
    return float(result.fun) * scale


def _powers(limit: int) -> list[int]:
    """0, the powers of two below the limit, and the limit."""
    return sorted({0, limit, *(2**k for k in range(limit.bit_length()))})


def _pieces(num_tokens: int, piece: int) -> list[tuple[int, int]]:
    """Prefill tokens of a step as whole prompts of `piece` tokens and a rest: attention grows with length."""
    num_whole, rest = divmod(num_tokens, piece)
    return [(piece, 0)] * num_whole + ([(rest, 0)] if rest else [])
