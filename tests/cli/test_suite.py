"""Many runs from one file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim.vllm_version import require_vllm
from traces.records import read_run

Run = Callable[..., Any]

SUITE = """
defaults: --window 4
fifo: good.json
stages: good.json --policy stage-priority --window 8
"""


@pytest.fixture
def suite(folder: Path) -> Path:
    path = folder / "suite.yaml"
    path.write_text(SUITE)
    return path


def test_every_line_becomes_a_run_and_defaults_yield_to_what_a_line_says(suite: Path, dovetail: Run) -> None:
    result = dovetail("suite", "suite.yaml", "--simulate", "--out", "runs")
    assert (result.status, result.out.count("16 of 16 calls")) == (0, 2)
    windows = [read_run(suite.parent / "runs" / name / "0").manifest["window"] for name in ("fifo", "stages")]
    assert windows == [4, 8]


def test_what_is_there_and_complete_is_left_alone(suite: Path, dovetail: Run) -> None:
    dovetail("suite", "suite.yaml", "--simulate", "--out", "runs", "--only", "fifo")
    manifest = suite.parent / "runs" / "fifo" / "0" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "mark": 1}))
    result = dovetail("suite", "suite.yaml", "--simulate", "--out", "runs")
    assert "fifo" not in result.out
    assert "stages/0: 16 of 16 calls" in result.out
    assert json.loads(manifest.read_text())["mark"] == 1


def test_what_is_not_complete_is_run_again(suite: Path, dovetail: Run) -> None:
    dovetail("suite", "suite.yaml", "--simulate", "--out", "runs", "--only", "fifo")
    manifest = suite.parent / "runs" / "fifo" / "0" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "complete": False}))
    dovetail("suite", "suite.yaml", "--simulate", "--out", "runs", "--only", "fifo")
    assert json.loads(manifest.read_text())["complete"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1]", "must be lines of 'name: WORKLOAD [options]'"),
        ("defaults: --engines 2", "must be lines of 'name: WORKLOAD [options]', at least one"),
        ("a: good.json\nb: [", "not YAML"),
        ("'../a': good.json", "the name becomes a folder"),
        ("a: 7", "run 'a': 7 must be a workload file and options"),
        ("a: good.json --polcy fifo", "run 'a': No such option"),
        ("a: good.json --policy lifo", "policy='lifo' is none of"),
        ("a: absent.json", "absent.json: cannot be read"),
        ("a: good.json --num-blocks 3", "must not exceed the 32 tokens"),
        ("a: good.json --repeats 0", "'--repeats': 0 is not in the range"),
    ],
)
def test_a_malformed_suite_gets_one_line_and_runs_nothing(
    text: str, expected: str, folder: Path, dovetail: Run
) -> None:
    (folder / "suite.yaml").write_text(text)
    result = dovetail("suite", "suite.yaml", "--simulate", "--out", "runs")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert expected in result.err
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--simulate --device virtual", "--device does not go with --simulate"),
        ("--simulate --dtype float16", "--dtype does not go with --simulate"),
        ("--profile h100-llama-13b", "--profile does not go with --device gpu"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(words: str, expected: str, suite: Path, dovetail: Run) -> None:
    result = dovetail("suite", suite.name, *words.split(), "--out", "runs")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert expected in result.err


def test_real_engines_stay_up_for_repeats(folder: Path, dovetail: Run) -> None:
    try:
        require_vllm()
    except ValueError as error:
        pytest.skip(str(error))
    (folder / "suite.yaml").write_text("maps: good.json --window 8 --repeats 2")
    result = dovetail("suite", "suite.yaml", "--device", "virtual", "--out", "runs")
    assert (result.status, result.out.count("16 of 16 calls")) == (0, 2)
    first, second = (read_run(folder / "runs" / "maps" / str(repeat)) for repeat in range(2))
    assert first.steps["step"].iloc[0] == second.steps["step"].iloc[0] == 0
    assert first.calls["num_cached_tokens"].sum() == second.calls["num_cached_tokens"].sum()
