"""`dovetail compare`, `report`, `trace` and `validate` on run directories; a second simulation stands in for a measured
one, and every command says so."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.metrics import jct
from sim.vllm_version import require_vllm
from traces.records import read_run

Dovetail = Callable[..., Any]


@pytest.fixture
def runs(dovetail: Dovetail) -> None:
    """Five chats on two cards, "sim" on H100s and "other" on A100s of the same size."""
    chat = "workload generate chat --apps 5 --arrivals poisson:2 --think-time 0.1 --out chat.json"
    assert dovetail(*chat.split()).status == 0
    for name, profile in (("sim", "h100-llama-13b"), ("other", "a100-llama-13b")):
        words = f"simulate chat.json --engines 2 --num-blocks 3000 --profile {profile} --out {name}"
        assert dovetail(*words.split()).status == 0


@pytest.mark.usefixtures("runs")
def test_compare_says_that_the_second_run_was_not_measured(dovetail: Dovetail) -> None:
    result = dovetail("compare", "sim", "other")
    assert result.status == 0
    assert "note: the run given as measured was simulated" in result.out
    assert "Error of the JCT" in result.out


@pytest.mark.usefixtures("runs")
def test_compare_prints_json_with_every_application(dovetail: Dovetail) -> None:
    data = json.loads(dovetail("compare", "sim", "other", "--json").out)
    assert len(data["applications"]) == 5
    assert data["calls"]["num_matched"] == len(read_run(Path("sim")).calls)
    assert data["makespan"]["error"] < 0


@pytest.mark.usefixtures("runs")
def test_a_run_does_not_differ_from_itself(dovetail: Dovetail) -> None:
    data = json.loads(dovetail("compare", "sim", "sim", "--json").out)
    assert all(row["error"] == 0 for row in data["errors"])
    assert data["decisions"]["share"] == 1.0


@pytest.mark.usefixtures("runs")
def test_compare_draws_into_a_folder_of_its_own_only(dovetail: Dovetail) -> None:
    Path("notes").mkdir()
    Path("notes/precious.txt").write_text("keep")
    refused = dovetail("compare", "sim", "other", "--out", "notes")
    assert refused.status == 2
    assert "not empty" in refused.err
    assert dovetail("compare", "sim", "other", "--out", "pictures").status == 0
    assert len(list(Path("pictures").iterdir())) == 12


def test_compare_names_the_folder_that_is_no_run_directory(dovetail: Dovetail) -> None:
    result = dovetail("compare", "nowhere", "nowhere")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "nowhere: no manifest.json" in result.err


@pytest.mark.usefixtures("runs")
def test_report_writes_one_html_file_and_does_not_replace_another(dovetail: Dovetail) -> None:
    assert dovetail("report", "sim", "other", "--out", "page.html").status == 0
    assert Path("page.html").read_text().startswith("<!doctype html>")
    assert dovetail("report", "sim", "other", "--out", "page.html").status == 2
    assert dovetail("report", "sim", "other", "--out", "page.pdf").status == 2


@pytest.mark.usefixtures("runs")
def test_trace_puts_both_runs_into_one_file(dovetail: Dovetail) -> None:
    assert dovetail("trace", "sim", "other", "--out", "both.json.gz").status == 0
    with gzip.open("both.json.gz", "rt") as file:
        events = json.load(file)["traceEvents"]
    processes = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert {"sim: engine 0", "other: engine 1", "other: coordinator"} <= processes


@pytest.mark.usefixtures("runs")
def test_trace_refuses_other_endings_and_the_same_run_twice(dovetail: Dovetail) -> None:
    assert "must end in" in dovetail("trace", "sim", "--out", "trace.txt").err
    assert "named twice" in dovetail("trace", "sim", "sim", "--out", "trace.json").err


@pytest.fixture
def several(dovetail: Dovetail) -> None:
    """Three policies and two seeds, on two cards."""
    generated = "workload generate chat --apps 8 --arrivals poisson:4 --think-time 0.1 --out several.json"
    assert dovetail(*generated.split()).status == 0
    for folder, profile in (("a", "h100-llama-13b"), ("b", "a100-llama-13b")):
        for policy in ("fifo", "random", "least-loaded"):
            for seed in ("0", "1"):
                words = (
                    f"simulate several.json --policy {policy} --engines 2 --window 3 --network-latency exponential:0.02"
                )
                out = f"{folder}/{policy}/{seed}"
                done = dovetail(
                    *words.split(), "--seed", seed, "--profile", profile, "--num-blocks", "3000", "--out", out
                )
                assert done.status == 0, done.err


@pytest.mark.usefixtures("several")
def test_validate_pairs_runs_by_policy_and_seed(dovetail: Dovetail) -> None:
    data = json.loads(dovetail("validate", "a", "b", "--json").out)
    (verdict,) = data["scenarios"]
    assert (verdict["num_policies"], verdict["num_pairs"]) == (3, 3)
    assert {row["policy"]: row["num"] for row in data["policies"]} == {"fifo": 2, "random": 2, "least-loaded": 2}
    assert data["remarks"] == ["runs given as measured were simulated"]


def test_workloads_of_one_name_can_be_repeats_of_one_scenario(dovetail: Dovetail) -> None:
    for seed in ("0", "1"):
        words = f"workload generate chat --apps 6 --arrivals poisson:4 --think-time 0 --seed {seed} --out {seed}.json"
        assert dovetail(*words.split()).status == 0
        for policy in ("fifo", "random"):
            words = f"simulate {seed}.json --policy {policy} --engines 2 --window 2 --out a/{policy}/{seed}"
            assert dovetail(*words.split()).status == 0
    apart = json.loads(dovetail("validate", "a", "a", "--json").out)["scenarios"]
    (pooled,) = json.loads(dovetail("validate", "a", "a", "--json", "--pool-workloads").out)["policies"][::2]
    assert len(apart) == 2
    assert pooled["num"] == 2


@pytest.mark.usefixtures("several")
def test_validate_of_a_simulation_against_itself_finds_no_fault(dovetail: Dovetail) -> None:
    (verdict,) = json.loads(dovetail("validate", "a", "a", "--json").out)["scenarios"]
    assert (verdict["tau"], verdict["regret"]) == (1.0, 0.0)
    assert verdict["num_agreeing"] == verdict["num_pairs"]


@pytest.mark.usefixtures("several")
def test_validate_draws_and_names_runs_without_a_counterpart(dovetail: Dovetail) -> None:
    result = dovetail("validate", "a", "b/fifo", "--plot", "v.png")
    assert result.status == 2
    assert "nothing to rank" in result.err
    Path("b/random/1").rename("moved")
    result = dovetail("validate", "a", "b", "--plot", "v.png")
    assert result.status == 0
    assert "note: a/random/1 has no counterpart" in result.out
    assert Path("v.png").exists()


def test_a_line_of_a_suite_that_repeats_another_is_no_second_simulation(dovetail: Dovetail) -> None:
    Path("s.yaml").write_text("defaults: --window 2\na: good.json\nagain: good.json\nb: good.json --policy random\n")
    assert dovetail("suite", "s.yaml", "--simulate", "--out", "runs").status == 0
    data = json.loads(dovetail("validate", "runs", "runs", "--json").out)
    assert {row["policy"]: row["num"] for row in data["policies"]} == {"fifo": 2, "random": 1}


def test_verdicts_show_every_column_however_long_the_names_are(dovetail: Dovetail) -> None:
    for bounds in ("map=8,reduce=2", "map=4,reduce=2"):
        words = f"simulate good.json --policy stage-priority --policy-arg bounds={bounds} --out runs/{bounds}"
        assert dovetail(*words.split()).status == 0
    shown = dovetail("validate", "runs", "runs").out
    assert all(title in shown for title in ("tau", "regret (%)", "chosen", "best"))
    assert "…" not in shown


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("good.json", "give two folders of run directories, or workloads and --policies"),
        ("a b --seeds 2", "--seeds needs --policies"),
        ("good.json --policies fifo,random", "--policies needs a WORKLOAD and --out"),
        ("good.json --policies fifo --out v", "must be two or more different policies"),
        ("good.json --policies fifo,lifo --out v", "policy='lifo' is none of"),
        ("good.json good.json --policies fifo,random --out v", "their names become folders and must differ"),
    ],
)
def test_validate_says_what_it_needs_before_anything_runs(words: str, expected: str, dovetail: Dovetail) -> None:
    result = dovetail("validate", *words.split())
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert expected in result.err
    assert not Path("v").exists()


def test_validate_simulates_and_measures_policies_and_then_ranks_them(dovetail: Dovetail) -> None:
    """Three map-reduces at a time on one engine: the reduces of two wait behind the third's maps, or do not.

    What is measured on a busy machine may come out otherwise; the verdict is then another one.
    """
    try:
        require_vllm()
    except ValueError as error:
        pytest.skip(str(error))
    words = "workload generate map-reduce --maps 5 --apps 3 --out maps.json"
    assert dovetail(*words.split()).status == 0
    words = "validate maps.json --policies fifo,stage-priority --device virtual --window 2 --out v --json"
    result = dovetail(*words.split())
    data = json.loads(result.out)
    measured = {name: read_run(Path(f"v/measured/maps/{name}/seed-0/0")) for name in ("fifo", "stage-priority")}
    assert all(run.manifest["backend"] == "real" for run in measured.values())
    best = min(measured, key=lambda name: jct(measured[name].calls).mean())
    tau = 1.0 if best == "stage-priority" else -1.0
    (verdict,) = data["scenarios"]
    assert (verdict["tau"], verdict["chosen"], verdict["best"]) == (tau, "stage-priority", best)
    assert "virtual device" in data["remarks"][0]
