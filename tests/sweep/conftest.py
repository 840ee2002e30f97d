"""A small sweep, and the command that runs it in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]

SPEC = """
workloads:
  documents: map-reduce --maps 4 --chunk-tokens 300 --apps 20
  questions: single --apps 40
loads: [0.4, 0.8]
seeds: 2
deadline: 3
options: --engines 2 --window 4
policies: {fifo: --policy fifo, app-fifo: --policy app-fifo}
"""


#: One workload, load and seed: three cells, the oracle's included.
TINY = """
workloads: {documents: map-reduce --maps 4 --apps 10}
loads: [0.5]
seeds: 1
options: --engines 2 --window 4
policies: {fifo: --policy fifo, mine: --policy mine:Mine}
"""


def start_in(folder: Path, *words: object) -> subprocess.Popen[str]:
    """Start `dovetail sweep` with the words it is given, in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-P", "-m", "dovetail", "sweep", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes)


@dataclass(frozen=True)
class Swept:
    """How a sweep ended, and its folder."""

    status: int
    out: str
    err: str
    folder: Path


def sweep_in(folder: Path, *words: object) -> Swept:
    """Run `dovetail sweep` to its end; its results are in `out` below the folder."""
    process = start_in(folder, *words, "--out", "out")
    out, err = process.communicate(timeout=300)
    return Swept(process.returncode, out, err, folder / "out")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """File of a sweep of 24 cells, the oracle's included."""
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """That sweep, run without disturbance on the cores of this machine."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "spec.yaml").write_text(SPEC)
    return sweep_in(folder, "spec.yaml")


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Swept]:
    """Callable that sweeps three cells, those of a policy in `mine.py` of the given text among them."""

    def run(policy: str, *words: str, more: str = "") -> Swept:
        (tmp_path / "mine.py").write_text(policy)
        (tmp_path / "spec.yaml").write_text(TINY + more)
        return sweep_in(tmp_path, "spec.yaml", "--jobs", 1, *words)

    return run


def table_of(folder: Path, name: str = "cells") -> pd.DataFrame:
    """A table of a sweep."""
    return pd.read_parquet(folder / f"{name}.parquet")
