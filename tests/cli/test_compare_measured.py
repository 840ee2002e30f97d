"""`dovetail compare` of simulations with runs that were measured on H200s."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.comparison.critical_path import PART_NAMES
from analysis.metrics import jct
from traces.records import read_run

Dovetail = Callable[..., Any]

MEASURED = Path(__file__).parents[2] / "reproduce" / "data" / "measured_h200_13b"

#: Chains and trees, a policy that holds calls back, think time; one GPU and two.
RUNS = {
    "one-gpu.yaml": ["chain", "map-reduce-window-2", "map-reduces-stage-priority", "agents", "chat"],
    "two-gpus.yaml": ["map-reduce-30-bounds", "mixed-1-fifo", "mixed-1-stage-priority", "mixed-1-prefix-affinity"],
}


@pytest.fixture(params=[(suite, name) for suite, names in RUNS.items() for name in names], ids=lambda each: each[1])
def pair(request: pytest.FixtureRequest, dovetail: Dovetail) -> tuple[Path, Path]:
    """Run directories: of a line of a suite, simulated now, and of its measurement."""
    suite, name = request.param
    words = f"suite {MEASURED / suite} --simulate --profile h200-llama-13b --only {name} --out simulated"
    assert dovetail(*words.split()).status == 0
    return Path("simulated") / name / "0", MEASURED / "runs" / name / "0"


def test_the_error_of_every_measured_application_splits_exactly(pair: tuple[Path, Path], dovetail: Dovetail) -> None:
    simulated, measured = pair
    data = json.loads(dovetail("compare", str(simulated), str(measured), "--json").out)
    assert data["calls"]["num_matched"] == len(read_run(measured).calls)
    jcts = {kind: jct(read_run(run).calls) for kind, run in (("simulated", simulated), ("measured", measured))}
    assert {row["app"] for row in data["applications"]} == set(jcts["measured"].index)
    for row in data["applications"]:
        assert sum(row[name] for name in PART_NAMES) == row["error"] == row["jct_simulated"] - row["jct_measured"]
        for kind, each in jcts.items():
            assert row[f"jct_{kind}"] == pytest.approx(each[row["app"]] * 1e9, abs=2)  # rounded instants
