"""A trace with shared prefixes on four engines: what routing by prefix is worth.

The few rows stand for a Mooncake trace; `dovetail workload import mooncake` reads a whole one.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from analysis.metrics import cache_hit_share, ttft
from policies.load import load_policy
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.importers.mooncake import import_mooncake


def rows() -> list[dict[str, object]]:
    """120 requests, ten a second, of 30 assistants whose prompts open with 1,536 tokens of their own."""
    picks = np.random.default_rng(0).integers(30, size=120).tolist()
    return [
        {
            "timestamp": 100 * i,
            "input_length": 2000,
            "output_length": 60,
            "hash_ids": [*range(3 * k, 3 * k + 3), 100 + i],
        }
        for i, k in enumerate(picks)
    ]


def main() -> None:
    """Print cache hits and the time to first token under both policies."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows()))
        workload = import_mooncake(file)
    profile = load_profile("h100-llama-13b")
    cluster = SimulatedCluster(profile, 4, settings_of(profile))
    for name in ("round-robin", "prefix-affinity"):
        calls = simulate(workload, load_policy(name).policy, cluster).calls
        print(f"{name:15} cache hits {cache_hit_share(calls):.1%}, mean TTFT {ttft(calls).mean() * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
