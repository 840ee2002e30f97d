"""Steps a second of the native engine, step by step and skipping, and of vLLM's own scheduler under virtual time.

    python bench/engines.py [--repeats 3]

Each line is one load on one engine of the profile h100-llama-13b; the same run in three ways, whose call records must
agree. Steps that the skipping engine jumps over count as steps. Needs vLLM (docs/lockstep.md).
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from policies.fifo import Fifo
from reproduce.schedules import overflowing_load
from sim.profile import load_profile
from sim.reference.engine import ReferenceEngine  # imported here, so that no run is charged with it
from sim.run import SimulatedCluster, settings_of, simulate
from sim.vllm_version import require_vllm
from traces.arrivals import poisson_arrivals
from traces.generators.chat import ChatShape, chat_sessions
from traces.generators.lengths import LogNormal, fixed_lengths
from traces.generators.single import single_calls
from traces.workload import Workload

PROFILE = load_profile("h100-llama-13b")


def loads() -> list[Workload]:
    """Too much for the memory; a steady stream; chats that share prefixes."""
    rng = np.random.default_rng(0)
    message, answer = LogNormal(median=100, sigma=0.5, most=400), LogNormal(median=128, sigma=0.5, most=400)
    chats = ChatShape(5, message, answer, think_time=5.0, system_tokens=200)
    stream = single_calls(fixed_lengths(512, 128, 300), poisson_arrivals(10.0, 300, rng), name="300 x 512/128, 10/s")
    return [overflowing_load(), stream, chat_sessions(poisson_arrivals(1.0, 60, rng), chats, rng)]


def steps_per_second(workload: Workload, *, skip: bool = True, reference: bool = False) -> tuple[float, int, bytes]:
    """Of one run: speed, steps, and the bytes of its finish times."""
    cluster = SimulatedCluster(PROFILE, 1, settings_of(PROFILE), skip=skip, reference=reference)
    started = time.perf_counter()
    records = simulate(workload, Fifo(), cluster)
    seconds = time.perf_counter() - started
    num_steps = int(records.steps["count"].sum())
    return num_steps / seconds, num_steps, records.calls["finished_at"].to_numpy().tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    print(f"steps per second, median of {repeats} runs; {ReferenceEngine.__name__}: vllm {require_vllm()}")
    print(f"{'load':24s} {'steps':>8s} {'skipping':>12s} {'step by step':>14s} {'reference':>12s}")
    steps_per_second(loads()[0], reference=True)  # vLLM looks up the model's class once in a process
    for workload in loads():
        ways: list[dict[str, bool]] = [{}, {"skip": False}, {"reference": True}]
        runs = [[steps_per_second(workload, **way) for way in ways] for _ in range(repeats)]
        if len({each[1:] for run in runs for each in run}) > 1:
            raise SystemExit(f"{workload.name}: the engines differ")
        speeds = np.median([[each[0] for each in run] for run in runs], axis=0)
        print(
            f"{workload.name:24.24s} {runs[0][0][1]:8,d} {speeds[0]:12,.0f} {speeds[1]:14,.0f} {speeds[2]:12,.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
