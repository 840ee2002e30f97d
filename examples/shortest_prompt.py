"""A policy in one file: shortest prompt first, compared with FIFO on a mixture of short and long prompts.

The class is all that `dovetail simulate ... --policy examples.shortest_prompt:ShortestPrompt` needs.
"""

import numpy as np

from analysis.metrics import ttft
from policies.fifo import Fifo
from policies.gateway import Gateway
from policies.interface import CallView, Policy
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.arrivals import poisson_arrivals
from traces.generators.lengths import LogNormal, lognormal_lengths
from traces.generators.single import single_calls


class ShortestPrompt(Policy):
    """Shortest ready prompt first, to the least loaded engine. Starves long prompts under sustained load."""

    def rank(self, call: CallView, now: float) -> int:
        return call.num_prompt_tokens


def main() -> None:
    """Print the time to first token under both policies."""
    rng = np.random.default_rng(0)
    lengths = lognormal_lengths(LogNormal(400, 1.2, 3000), LogNormal(100, 0.5, 400), 300, rng)
    workload = single_calls(lengths, poisson_arrivals(8.0, 300, rng))
    profile = load_profile("h100-llama-13b")
    cluster = SimulatedCluster(profile, 1, settings_of(profile))
    # Order is decided late: the coordinator keeps at most 8 calls at the engine, the others wait in rank order.
    for policy in (Fifo(), ShortestPrompt()):
        waits = ttft(simulate(workload, policy, cluster, Gateway(window=8)).calls)
        name = type(policy).__name__
        print(
            f"{name:15} TTFT: mean {waits.mean():.2f} s, p50 {waits.median():.2f} s, p99 {waits.quantile(0.99):.2f} s"
        )


if __name__ == "__main__":
    main()
