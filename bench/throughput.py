"""How many requests a second the simulator gets through, next to raw SimPy timeouts in the same run.

    python bench/throughput.py [--requests 100000] [--repeats 5] [--data ../shared/data]

Each line simulates one workload on one core of this machine, records written as Parquet: building the coordinator's
state, running, making the record tables and writing them are timed apart. "simulated" counts the run alone, "recorded"
the run and its tables, "all" everything but making the workload itself. The offered load is 75% of what the same engine
serves when all requests are present at once. Raw SimPy is one process that yields timeouts, timed before and after
every simulation: "ratio" is the median over the repeats of simulated requests a second over the mean of the two, so
that a machine that is busy for a while slows both sides of it.

With the traces at hand (`--data`), the full Azure conversation hour and the Mooncake conversation trace run on 1, 4 and
16 engines. `make bench` runs this twice, with the package as it is and compiled (see setup.py); the last column is a
digest of the call records, which must not differ between the two.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import simpy

import sim.scheduler
from policies.coordinator import Coordinator
from policies.engines import EngineState
from policies.fifo import Fifo
from sim.clock import Clock
from sim.cluster import Cluster
from sim.engine import Engine
from sim.engines import engine_delays
from sim.garbage import collection_paused
from sim.profile import load_profile
from sim.run import settings_of
from traces.arrivals import all_at_once, poisson_arrivals
from traces.generators.chat import ChatShape, chat_sessions
from traces.generators.lengths import LogNormal, fixed_lengths, lognormal_lengths
from traces.generators.single import single_calls
from traces.importers.azure import import_azure
from traces.importers.mooncake import import_mooncake
from traces.records import RunRecords, write_run
from traces.workload import Workload, num_calls

PROFILE = "h100-llama-13b"
LOAD = 0.75

#: Azure's conversation hour has medians 1020 in and 129 out (shared data README); the widths give its means, 1155 and
#: 211. Drawn, not taken from the trace, so that the benchmark runs anywhere.
CONVERSATION_PROMPT = LogNormal(median=1020, sigma=0.5, most=3000)
CONVERSATION_OUTPUT = LogNormal(median=129, sigma=0.99, most=1000)


def timeouts_per_second(num_timeouts: int = 300_000) -> float:
    """Raw speed of SimPy on this machine, now."""
    env = simpy.Environment()

    def ticking():
        for _ in range(num_timeouts):
            yield env.timeout(1)

    env.process(ticking())
    started = time.perf_counter()
    env.run()
    return num_timeouts / (time.perf_counter() - started)


def timed_run(workload: Workload, num_engines: int, **limits: int) -> dict[str, float]:
    """Seconds of each phase of one simulation, and its makespan; `limits` replace the profile's engine limits."""
    profile = load_profile(PROFILE)
    settings = settings_of(profile, **limits)
    cost, delays = profile.step_cost(settings.async_scheduling), engine_delays(profile)
    marks = [time.perf_counter()]
    clock = Clock()
    states = [
        EngineState(index, num_blocks=settings.num_blocks, block_size=16, max_num_seqs=settings.max_num_seqs)
        for index in range(num_engines)
    ]
    with collection_paused():
        coordinator = Coordinator(workload, Fifo(), states)
    cluster = Cluster(
        clock,
        coordinator,
        lambda listener: [
            Engine(index, settings, cost, clock, listener, delays=delays) for index in range(num_engines)
        ],
    )
    marks.append(time.perf_counter())
    cluster.run()
    marks.append(time.perf_counter())
    records = RunRecords({}, **cluster.frames())
    marks.append(time.perf_counter())
    with tempfile.TemporaryDirectory() as directory:
        write_run(Path(directory), records)
        marks.append(time.perf_counter())
    phases = dict(zip(("build", "run", "tables", "write"), np.diff(marks).tolist(), strict=True))
    digest = hashlib.sha256(pd.util.hash_pandas_object(records.calls).to_numpy().tobytes()).hexdigest()
    makespan = records.calls["finished_at"].max() - records.calls["app_arrived_at"].min()
    return {**phases, "makespan": float(makespan), "all": marks[-1] - marks[0], "digest": int(digest[:12], 16)}


def service_rate(workload: Workload, num_applications: int) -> float:
    """Applications a second that one engine finishes when all of `workload` is present at once."""
    return num_applications / timed_run(workload, 1)["makespan"]


def singles(name: str, num_requests: int) -> Workload:
    """Independent calls at 75% load, of fixed or of conversation lengths."""
    rng = np.random.default_rng(1)

    def lengths(count: int):
        if name == "512/128 tokens":
            return fixed_lengths(512, 128, count)
        return lognormal_lengths(CONVERSATION_PROMPT, CONVERSATION_OUTPUT, count, rng)

    sample = min(num_requests, 2000)
    rate = LOAD * service_rate(single_calls(lengths(sample), all_at_once(sample)), sample)
    return single_calls(lengths(num_requests), poisson_arrivals(rate, num_requests, rng))


def chats(num_requests: int) -> Workload:
    """Five-turn chats at 75% load, whose turns find their history in the prefix cache."""
    rng = np.random.default_rng(2)
    message, answer = LogNormal(median=100, sigma=0.5, most=400), LogNormal(median=128, sigma=0.5, most=400)
    shape = ChatShape(5, message, answer, think_time=5.0, system_tokens=200)
    sample = min(num_requests // 5, 400)
    rate = LOAD * service_rate(chat_sessions(all_at_once(sample), shape, rng), sample)
    return chat_sessions(poisson_arrivals(rate, num_requests // 5, rng), shape, rng)


def report(name: str, workload: Workload, repeats: int, num_engines: int = 1, **limits: int) -> None:
    """Print one line: the median of some runs."""
    rows, raw = [], [timeouts_per_second()]
    for _ in range(repeats):
        rows.append(timed_run(workload, num_engines, **limits))
        raw.append(timeouts_per_second())
    count = num_calls(workload)
    run, tables, everything = (
        float(np.median([sum(row[phase] for phase in phases) for row in rows]))
        for phases in (("run",), ("run", "tables"), ("all",))
    )
    speeds = [(before + after) / 2 for before, after in pairwise(raw)]
    ratio = float(np.median([count / row["run"] / speed for row, speed in zip(rows, speeds, strict=True)]))
    print(
        f"{name:34s} {num_engines:3d} {count:8,d} {count / run:10,.0f} {count / tables:10,.0f} "
        f"{count / everything:10,.0f} {np.median(raw):12,.0f} {ratio:8.4f}  {int(rows[0]['digest']):012x}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    arguments = parser.parse_args()
    kind = "plain Python" if sim.scheduler.__file__.endswith(".py") else "compiled by mypyc"
    print(
        f"simulator: {kind}; profile {PROFILE}; load {LOAD:.0%}; policy fifo; median of {arguments.repeats} (traces: 1)"
    )
    print(
        f"{'workload':34s} {'eng':>3s} {'requests':>8s} {'simulated':>10s} {'recorded':>10s} {'all':>10s} "
        f"{'SimPy':>12s} {'ratio':>8s}  calls\n{'':48s}{'requests per second':^31s}{'timeouts/s':>14s} {'sim/raw':>8s}"
    )
    for name in ("512/128 tokens", "conversation lengths"):
        report(name, singles(name, arguments.requests), arguments.repeats)
    report("five-turn chats", chats(arguments.requests), arguments.repeats)
    traces = arguments.data / "arrivals"
    if not traces.is_dir():
        print(f"production traces: not run, {traces} is absent")
        return
    azure = import_azure(traces / "azure_llm_2023_conv.csv.gz")
    mooncake = import_mooncake(traces / "mooncake_conversation_trace.jsonl.gz")
    for num_engines in (1, 4, 16):
        report("Azure conversation hour", azure, 1, num_engines, max_model_len=16_384)
        # Prompts of up to 85,400 tokens: more memory than one H100 has beside 13B weights.
        report("Mooncake conversation trace", mooncake, 1, num_engines, max_model_len=131_072, num_blocks=16_384)


if __name__ == "__main__":
    main()
