"""Run the command line in this process, in a folder of its own."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dovetail.main import main
from traces.files import save_workload
from traces.generators.mapreduce import map_reduce


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Current directory, with one valid workload in it."""
    monkeypatch.chdir(tmp_path)
    save_workload(map_reduce(15), "good.json")
    return tmp_path


@pytest.fixture
def dovetail(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Callable that runs `dovetail` with the words it is given."""

    def run(*words: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["dovetail", *words])
        monkeypatch.setattr(sys, "path", list(sys.path))  # loading a policy may extend it
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Result(int(ended.value.code or 0), printed.out, printed.err)

    return run
