"""What a workload is, in numbers: size, arrivals, token counts, shape of the graphs, share of repeated beginnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from graphlib import TopologicalSorter

import numpy as np

from traces.prefix import content_keys
from traces.workload import Application, Workload, num_calls, num_prompt_tokens


def describe(workload: Workload) -> dict[str, object]:
    """Summary that can be written as JSON.

    Parameters
    ----------
    workload : Workload
        A valid one.

    Returns
    -------
    dict
        `num_applications`, `num_calls`, `calls_per_stage`; `arrivals` (span in seconds, rate in applications per
        second, `cv` of the gaps; null where there are too few); `prompt_tokens` and `output_tokens` of calls, and
        `calls_per_application`, `depth` and `width` of applications, each as mean, p50, p90, p99 and max;
        `total_prompt_tokens`, `total_output_tokens`, `shared_prefix_share`.

    Notes
    -----
    Depth is the number of calls on the longest path of dependencies, width the most calls at one depth.
    `shared_prefix_share` is the share of all prompt tokens that stand in leading segments with which the prompt and
    output of an earlier listed call also began: what an unlimited prefix cache would save if calls ran in that order.
    """
    prompts = [
        num_prompt_tokens(call, _outputs(application))
        for application in workload.applications
        for call in application.calls
    ]
    calls = [call for application in workload.applications for call in application.calls]
    outputs = [call.output_tokens for call in calls]
    levels = [call_depths(application) for application in workload.applications]
    widths = [max(Counter(depths.values()).values()) for depths in levels]
    return {
        "name": workload.name,
        "num_applications": len(workload.applications),
        "num_calls": num_calls(workload),
        "calls_per_stage": dict(sorted(Counter(call.stage for call in calls).items())),
        "arrivals": _arrivals([application.arrival for application in workload.applications]),
        "prompt_tokens": _spread(prompts),
        "output_tokens": _spread(outputs),
        "total_prompt_tokens": sum(prompts),
        "total_output_tokens": sum(outputs),
        "calls_per_application": _spread([len(application.calls) for application in workload.applications]),
        "depth": _spread([max(depths.values()) for depths in levels]),
        "width": _spread(widths),
        "shared_prefix_share": shared_prefix_tokens(workload) / sum(prompts),
    }


def call_depths(application: Application) -> dict[str, int]:
    """Depth of each call: 1 without dependencies, else one more than its deepest dependency."""
    deps = {call.id: call.deps for call in application.calls}
    depths: dict[str, int] = {}
    for call_id in TopologicalSorter(deps).static_order():
        depths[call_id] = 1 + max((depths[dep] for dep in deps[call_id]), default=0)
    return depths


def shared_prefix_tokens(workload: Workload) -> int:
    """Prompt tokens in leading segments with which an earlier listed call's prompt and output began, over all calls."""
    # A tree of contents: (node, next content) leads to a node; a call adds what is new of its prompt and output.
    nodes: dict[tuple[int, tuple[str, int | str, int]], int] = {}
    num_shared = 0
    for application in workload.applications:
        outputs = _outputs(application)
        for call in application.calls:
            node, known = 0, True
            for key in content_keys(application.id, call, outputs):
                known = known and (node, key) in nodes
                num_shared += key[2] if known else 0
                node = nodes.setdefault((node, key), len(nodes) + 1)
            nodes.setdefault((node, (application.id, call.id, call.output_tokens)), len(nodes) + 1)
    return num_shared


def _outputs(application: Application) -> dict[str, int]:
    return {call.id: call.output_tokens for call in application.calls}


def _spread(values: Sequence[int]) -> dict[str, float]:
    """Mean, percentiles and largest of counts."""
    p50, p90, p99 = np.percentile(values, [50, 90, 99]).tolist()
    return {
        "mean": float(np.mean(values)),
        "p50": p50,
        "p90": p90,
        "p99": p99,
        "max": max(values),
    }


def _arrivals(instants: Sequence[float]) -> dict[str, float | None]:
    """Span, rate and variability of arrivals; None where a single instant leaves them undefined."""
    ordered = np.sort(np.asarray(instants, dtype=np.float64))
    span = float(ordered[-1] - ordered[0])
    if span == 0.0:
        return {"span": 0.0, "rate": None, "cv": None}
    gaps = np.diff(ordered)
    return {"span": span, "rate": len(gaps) / span, "cv": float(gaps.std() / gaps.mean())}
