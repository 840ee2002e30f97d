"""The commands of docs/from-idea-to-policy.md run, in their order, and print what it says."""

import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "from-idea-to-policy.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader works: the three files of the guide."""
    path = tmp_path_factory.mktemp("guide")
    (policy,) = blocks("python")
    sweep, suite = blocks("yaml")
    for name, text in (("fewest_left.py", policy), ("idea.yaml", sweep), ("runs.yaml", suite)):
        (path / name).write_text(text)
    return path


def run(command: str, folder: Path) -> str:
    words = shlex.split(command.removeprefix("$ dovetail"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dovetail", *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def printed(folder: Path) -> str:
    """What the commands print that need no vLLM."""
    *simulated, _ = blocks("console")
    return "".join(run(command, folder) for block in simulated for command in block.splitlines())


def test_the_guide_prints_what_it_says(printed: str) -> None:
    said = {" ".join(line.split()) for block in blocks("text") for line in block.splitlines()}
    assert said <= {" ".join(line.split()) for line in printed.splitlines()}


def test_the_files_that_the_guide_names_are_there(folder: Path, printed: str) -> None:
    for name in ("sweep/differences.png", "sweep/settings.csv", "simulated/fewest-left/0/calls.parquet"):
        assert (folder / name).exists()


@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed (docs/lockstep.md)")
def test_the_guides_policies_run_on_the_virtual_device(folder: Path, printed: str) -> None:
    *_, with_vllm = blocks("console")
    assert "tau" in "".join(run(command, folder) for command in with_vllm.splitlines())
