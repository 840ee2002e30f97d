"""The same policy and workload on the simulator and on the virtual device, side by side.

    python bench/virtual.py [--profile h100-llama-13b]

Both take the time of a step from the same profile. Around it, the virtual device runs vLLM's own code on this machine
and the real coordinator on its clock; the simulator runs its scheduler and the host delays that the profile holds for
the machine on which it was measured. Nothing is fitted to this comparison. Each pair runs three times: simulated, and
twice on the virtual device; the second real run says how far two real runs agree with each other.

"order, engine": share of the decision log (dispatches and holds) that both runs have in the same order with the same
engine; "order": the same with the engine left out (`analysis.agreement`). E2E errors: simulated over virtual, minus 1,
of each call. Needs vLLM.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.agreement import agreement
from analysis.comparison.matching import match_calls
from analysis.metrics import e2e
from policies.gateway import Gateway
from policies.load import load_policy
from realexec.kept import KeptEngine, release_all
from realexec.run import RealCluster, measure
from realexec.vllm_engine import VllmEngine, VllmOptions
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from sim.vllm_version import require_vllm
from traces.arrivals import poisson_arrivals
from traces.generators.agents import AgentsShape, multi_agent_rounds
from traces.generators.chat import ChatShape, chat_sessions
from traces.generators.lengths import LogNormal, lognormal_lengths
from traces.generators.mapreduce import map_reduce
from traces.generators.single import single_calls
from traces.records import RunRecords
from traces.workload import Workload, num_calls

NUM_ENGINES = 2


def pairs() -> list[tuple[Workload, str, int]]:
    """Workload, policy and window of each comparison."""
    rng = np.random.default_rng(0)
    maps = map_reduce(12, poisson_arrivals(0.5, 4, rng))
    shape = ChatShape(3, LogNormal(60, 1.0, 400), LogNormal(80, 0.8, 300), think_time=1.0, system_tokens=64)
    chats = chat_sessions(poisson_arrivals(3.0, 24, rng), shape, rng)
    agents = multi_agent_rounds(poisson_arrivals(0.4, 4, rng), AgentsShape(output_tokens=100))
    lengths = lognormal_lengths(LogNormal(300, 0.6, 1500), LogNormal(80, 0.8, 300), 80, rng)
    singles = single_calls(lengths, poisson_arrivals(8.0, 80, rng), name="single calls, 8/s")
    return [
        (singles, "fifo", 8),
        (maps, "fifo", 8),
        (maps, "stage-priority", 8),
        (chats, "prefix-affinity", 0),
        (agents, "fifo", 4),
        (agents, "stage-priority", 4),
    ]


def e2e_error(simulated: RunRecords, real: RunRecords) -> pd.Series:
    """Relative error of the simulated E2E latency of each call."""
    matched = match_calls(simulated.calls, real.calls)
    return e2e(matched.simulated) / e2e(matched.measured) - 1.0


def shares(first: RunRecords, second: RunRecords) -> tuple[float, float]:
    """Share of equal decisions, with the engine and without it."""
    plain = [records.decisions.assign(engine=0) for records in (first, second)]
    return agreement(first.decisions, second.decisions).share, agreement(*plain).share


def report(workload: Workload, policy: str, window: int, simulated: RunRecords, real: list[RunRecords]) -> None:
    """Print the line of one comparison, and where the decisions part."""
    errors, repeat = e2e_error(simulated, real[0]), e2e_error(real[1], real[0])
    with_engine, order = shares(simulated, real[0])
    again_with_engine, again = shares(*real)
    print(
        f"{workload.name:22.22s} {policy:16s} {num_calls(workload):5d} {with_engine:13.1%} {order:7.1%} "
        f"{again_with_engine:15.1%} {again:7.1%} {errors.mean():+8.1%} {errors.abs().mean():7.1%} "
        f"{repeat.abs().mean():11.1%}"
    )
    parting = agreement(simulated.decisions, real[0].decisions).first_difference
    if parting:
        print(f"    first difference, simulated against virtual: {parting}", flush=True)


async def compare(profile_name: str, folder: Path) -> None:
    """Run and print every pair on engines that stay up."""
    profile = load_profile(profile_name)
    options = VllmOptions(device="virtual", profile=profile_name, model=profile.model.name.lower())
    engines = [KeptEngine(VllmEngine(index, options, folder / str(index))) for index in range(NUM_ENGINES)]
    cluster = SimulatedCluster(profile, NUM_ENGINES, settings_of(profile))
    try:
        for workload, policy, window in pairs():
            gateway = Gateway(window=window)
            simulated = simulate(workload, load_policy(policy).policy, cluster, gateway)
            real = [
                await measure(workload, load_policy(policy).policy, RealCluster(engines), gateway) for _ in range(2)
            ]
            report(workload, policy, window, simulated, real)
    finally:
        await release_all(engines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="h100-llama-13b")
    profile = parser.parse_args().profile
    print(f"vllm {require_vllm()} on {NUM_ENGINES} virtual devices, profile {profile}, beside the simulator")
    print(
        f"{'':45s} {'simulated to virtual':^21s} {'virtual to virtual':^23s} {'E2E per call, simulated':^28s}\n"
        f"{'workload':22s} {'policy':16s} {'calls':>5s} {'order, engine':>13s} {'order':>7s} {'order, engine':>15s} "
        f"{'order':>7s} {'mean':>8s} {'|mean|':>7s} {'two virtual':>11s}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(compare(profile, Path(folder)))


if __name__ == "__main__":
    main()
