"""From the settings of a simulation to those of the closed form, so that both describe one cluster."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.rounds import Deployment
from policies.gateway import Gateway
from sim.run import SimulatedCluster
from traces.workload import Workload, num_prompt_tokens


def deployment_of(
    workload: Workload, cluster: SimulatedCluster, gateway: Gateway, bounds: Mapping[str, int]
) -> Deployment:
    """What the closed form knows of a simulated cluster.

    Parameters
    ----------
    workload : Workload
        Its longest call says how many calls the KV memory holds at least.
    cluster : SimulatedCluster
    gateway : Gateway
        The network latency enters by its mean.
    bounds : mapping of stage to int
        Most calls of a stage on one engine.
    """
    settings = cluster.settings
    held = settings.num_usable_blocks // -(-_longest_call(workload) // settings.block_size)
    limits = [settings.max_num_seqs, max(held, 1)] + ([gateway.window] if gateway.window else [])
    return Deployment(
        num_engines=cluster.num_engines,
        num_resident=min(limits),
        stage_bounds=bounds,
        network_latency=gateway.network_latency.mean,
        orchestration=gateway.orchestration,
        max_num_batched_tokens=settings.max_num_batched_tokens,
        enable_prefix_caching=settings.enable_prefix_caching,
        block_size=settings.block_size,
    )


def parse_bounds(text: str) -> dict[str, int]:
    """Bounds as the command line writes them.

    Raises
    ------
    ValueError
        When the text is not of that form, or a bound is not positive.

    Examples
    --------
    >>> parse_bounds("map=8,reduce=2")
    {'map': 8, 'reduce': 2}
    """
    bounds = {}
    for item in filter(None, text.split(",")):
        stage, _, number = item.rpartition("=")
        if not stage or not number.isdecimal() or int(number) < 1:
            raise ValueError(f"bounds: {item!r} must be stage=N with N a positive integer")
        bounds[stage] = int(number)
    return bounds


def _longest_call(workload: Workload) -> int:
    """Most prompt plus output tokens of one call."""
    longest = 0
    for application in workload.applications:
        outputs = {call.id: call.output_tokens for call in application.calls}
        longest = max(longest, *(num_prompt_tokens(call, outputs) + call.output_tokens for call in application.calls))
    return longest
