"""`dovetail policies` lists what there is, and starts a policy of one's own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from policies.load import policy_names

ROOT = Path(__file__).parents[2]
Dovetail = Callable[..., Any]


def listed(dovetail: Dovetail) -> dict[str, Any]:
    result = dovetail("policies", "--json")
    assert result.status == 0, result.err
    return {each["name"]: each for each in json.loads(result.out)}


def test_every_policy_is_listed_with_a_line_of_its_own(dovetail: Dovetail) -> None:
    assert list(listed(dovetail)) == policy_names()
    table = dovetail("policies").out
    assert all(f"\n {name} " in table for name in policy_names())


def test_the_list_says_what_a_policy_sees_decides_and_takes(dovetail: Dovetail) -> None:
    policies = listed(dovetail)
    assert policies["shortest-job"]["sees"] == "oracle"
    assert policies["least-attained"]["sees"] == "observable"
    assert policies["prefix-affinity"]["decides"] == ["routing"]
    assert policies["least-attained"]["decides"] == ["order", "learning"]
    parameter = {"type": "int", "default": 4}
    assert policies["prefix-affinity"]["parameters"]["max_imbalance"] == parameter
    assert "max_imbalance=4 guard=calls" in " ".join(dovetail("policies").out.split())


def test_a_policy_is_shown_with_its_source(dovetail: Dovetail) -> None:
    assert "Parrot (Lin et al., OSDI 2024" in dovetail("policies", "show", "parrot").out


def test_an_unknown_policy_ends_as_one_line(dovetail: Dovetail) -> None:
    result = dovetail("policies", "show", "nonesuch")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "policy='nonesuch' is none of app-fifo" in result.err


def test_a_new_policy_and_its_test_pass_as_they_are(dovetail: Dovetail, folder: Path) -> None:
    assert dovetail("policies", "new", "my-policy", "--out", "mine").status == 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_my_policy.py"]
    done = subprocess.run(command, cwd=folder / "mine", env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_a_new_policy_runs_by_the_command_that_is_printed(dovetail: Dovetail, folder: Path) -> None:
    printed = dovetail("policies", "new", "my-policy").out
    assert "dovetail simulate WORKLOAD --policy my_policy:MyPolicy --window 8 --out DIR" in printed
    done = dovetail("simulate", "good.json", "--policy", "my_policy:MyPolicy", "--window", "8", "--out", "run")
    assert done.status == 0, done.err
    assert (folder / "run" / "calls.parquet").exists()


def test_what_is_written_is_formatted_and_typed_like_the_project(dovetail: Dovetail, folder: Path) -> None:
    dovetail("policies", "new", "my-policy")
    for command in (["ruff", "format", "--check"], ["ruff", "check"]):
        words = [sys.executable, "-m", *command, "--config", str(ROOT / "pyproject.toml"), "--no-cache", str(folder)]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My_Policy", "must be lower-case words with hyphens between, such as my-policy"),
        ("../up", "must be lower-case words"),
        ("fifo", "name='fifo' is taken: `dovetail policies show fifo` says by what"),
        ("json", "name='json' is taken: there is a Python module 'json' already"),
    ],
)
def test_a_name_that_cannot_be_is_refused(dovetail: Dovetail, folder: Path, name: str, message: str) -> None:
    before = set(folder.iterdir())
    result = dovetail("policies", "new", name)
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert message in result.err
    assert set(folder.iterdir()) == before


def test_nothing_is_overwritten(dovetail: Dovetail, folder: Path) -> None:
    (folder / "test_mine.py").write_text("precious")
    result = dovetail("policies", "new", "mine")
    assert result.status == 2
    assert "test_mine.py exists already" in result.err
    assert not (folder / "mine.py").exists()


# -- the guide --------------------------------------------------------------------------------------------------------


GUIDE = (ROOT / "docs" / "policies.md").read_text()


def test_the_guide_has_a_row_for_every_policy_as_the_command_lists_it(dovetail: Dovetail) -> None:
    rows = {line.split("`")[1]: line for line in GUIDE.splitlines() if line.startswith("| `")}
    policies = listed(dovetail)
    assert set(rows) == set(policies)
    for name, policy in policies.items():
        decides = ", ".join(word for word in policy["decides"] if word != "learning") or "nothing"
        assert f"| {decides} | {policy['sees']} |" in rows[name]
        for parameter, value in policy["parameters"].items():
            default = "none" if value["default"] in (None, []) else value["default"]
            assert f"`{parameter}={default}`" in rows[name]


def test_the_guide_shows_what_its_example_prints() -> None:
    for line in (ROOT / "examples" / "literature.out").read_text().splitlines():
        assert f"    {line}\n" in GUIDE
