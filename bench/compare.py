"""How long `dovetail compare` takes on large run directories, and how much memory.

    python bench/compare.py [--calls 1000000] [--keep DIR]

A chat workload is simulated twice, the second time with another seed of the network's latency, which stands in for a
measured run: the content does not matter to the clock. Both are repeated end to end, with new application names, until
they hold the wanted number of calls. Each command runs in a process of its own; peak memory is that process's largest
resident set.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from policies.gateway import Gateway
from policies.least_loaded import LeastLoaded
from policies.network import parse_network_latency
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.arrivals import poisson_arrivals
from traces.generators.chat import ChatShape, chat_sessions
from traces.generators.lengths import LogNormal
from traces.records import RunRecords, write_run

PROFILE = "h100-llama-13b"
NUM_APPLICATIONS = 2_000  # of five calls, simulated; the rest is repetition
RATE = 4.0  # applications a second, on eight engines


def one_run(seed: int) -> RunRecords:
    """The run that is repeated."""
    arrivals = poisson_arrivals(RATE, NUM_APPLICATIONS, np.random.default_rng(0))
    message, answer = LogNormal(median=100, sigma=0.5, most=400), LogNormal(median=128, sigma=0.5, most=400)
    shape = ChatShape(5, message, answer, think_time=5.0, system_tokens=200)
    workload = chat_sessions(arrivals, shape, np.random.default_rng(0))
    profile = load_profile(PROFILE)
    gateway = Gateway(network_latency=parse_network_latency("lognormal:0.05:1"), seed=seed)
    return simulate(workload, LeastLoaded(), SimulatedCluster(profile, 8, settings_of(profile)), gateway)


def repeated(records: RunRecords, num_calls: int) -> RunRecords:
    """The run, end to end, until it has `num_calls` calls."""
    num_copies = -(-num_calls // len(records.calls))
    span = float(records.calls["finished_at"].max()) + 1.0
    frames = {
        name: pd.concat([shifted(getattr(records, name), copy, span) for copy in range(num_copies)], ignore_index=True)
        for name in ("calls", "steps", "decisions")
    }
    return RunRecords(records.manifest, frames["calls"][:num_calls], frames["steps"], frames["decisions"])


def shifted(frame: pd.DataFrame, copy: int, span: float) -> pd.DataFrame:
    """Copy number `copy`: later by as many spans, applications renamed."""
    instants = {name: frame[name] + copy * span for name in frame if name == "at" or name.endswith("_at")}
    names = {"app": frame["app"] + f"-{copy}"} if "app" in frame else {}
    return frame.assign(**instants, **names)


def timed(words: list[str]) -> None:
    """Run a command and print its wall time and the largest resident set of any child so far."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dovetail", *words], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(
        f"dovetail {words[0]:8} {' '.join(words[3:4]):8} {seconds:7.1f} s, peak memory so far {peak:.2f} GiB",
        flush=True,
    )


def main() -> None:
    """Build the directories, then time the commands on them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="build the directories here and leave them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        directories = [folder / name for name in ("simulated", "stand-in")]
        for seed, directory in enumerate(directories):
            records = repeated(one_run(seed), options.calls)
            write_run(directory, records)
            print(f"{directory.name}: {len(records.calls):,} calls, {len(records.steps):,} rows of steps", flush=True)
        pair = [str(directory) for directory in directories]
        timed(["compare", *pair])
        timed(["compare", *pair, "--json"])
        timed(["compare", *pair, "--out", str(folder / "pictures")])


if __name__ == "__main__":
    main()
