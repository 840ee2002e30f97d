"""`dovetail predict --run`: the closed form beside simulated runs and runs that were measured on H200s."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Dovetail = Callable[..., Any]

MEASURED = Path(__file__).parents[2] / "reproduce" / "data" / "measured_h200_13b"
MAP_REDUCE = str(MEASURED / "workloads" / "map-reduce15.json.gz")
PROFILE = ("--profile", "h200-llama-13b")


@pytest.mark.parametrize("window", [2, 8])
def test_terms_lead_from_rounds_times_steps_to_what_was_measured(window: int, dovetail: Dovetail) -> None:
    """Of the 2%, most are calls that start before a round is over, which the closed form leaves out."""
    words = f"simulate {MAP_REDUCE} --profile h200-llama-13b --window {window} --out simulated"
    assert dovetail(*words.split()).status == 0
    measured = MEASURED / "runs" / f"map-reduce-window-{window}"
    runs = ("--run", "simulated", "--run", str(measured / "0"), "--run", str(measured / "1"))
    data = json.loads(dovetail("predict", MAP_REDUCE, *PROFILE, *runs, "--json").out)
    spans = [row["makespan"] for row in data["runs"] if row["kind"] == "measurement"]
    assert sum(term["seconds"] for term in data["gap"]) == pytest.approx(sum(spans) / 2)
    assert [term["label"] for term in data["gap"]][-2:] == [
        "simulation over closed form",
        "measurement over simulation",
    ]
    assert all(abs(row["closed_form_error"]) < 0.02 for row in data["runs"])


def test_bounds_of_stages_come_from_the_run(dovetail: Dovetail) -> None:
    workload = str(MEASURED / "workloads" / "map-reduce30.json.gz")
    run = ("--run", str(MEASURED / "runs" / "map-reduce-30-bounds" / "0"))
    data = json.loads(dovetail("predict", workload, *PROFILE, *run, "--json").out)
    formula = data["terms"][0]["formula"]  # of 30 maps on 2 engines, at most 8 on each at a time
    assert "1 round of 8 x" in formula
    assert "1 round of 7 x" in formula


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--window 2 --run {runs}/map-reduce/0", "--window does not go with --run"),
        ("--run {runs}/chain/0", "another workload than 'map-reduce 15x1000'"),
        ("--run {runs}/map-reduce/0 --run {runs}/map-reduce-window-2/0", "window 2 differs from the 0 of"),
        ("--run nowhere", "no manifest.json"),
        ("--run bare", "bare: manifest.json has no 'complete', which the closed form must know"),
    ],
)
def test_runs_that_the_closed_form_is_not_of_are_refused(
    words: str, expected: str, folder: Path, dovetail: Dovetail
) -> None:
    shutil.copytree(MEASURED / "runs" / "chain" / "0", folder / "bare")
    (folder / "bare" / "manifest.json").write_text("{}")
    result = dovetail("predict", MAP_REDUCE, *PROFILE, *words.format(runs=MEASURED / "runs").split())
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert expected in result.err


def test_runs_of_a_workload_without_a_closed_form_are_refused_with_the_reason(dovetail: Dovetail) -> None:
    apart = "workload generate map-reduce --apps 3 --arrivals poisson:2 --out apart.json"
    assert dovetail(*apart.split()).status == 0
    assert dovetail("simulate", "apart.json", "--out", "run").status == 0
    result = dovetail("predict", "apart.json", "--run", "run")
    reason = "has no closed form: applications arrive at different times"
    assert (result.status, result.err) == (2, f"dovetail: workload 'map-reduce 15x1000' {reason}\n")
