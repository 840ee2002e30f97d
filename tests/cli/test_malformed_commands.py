"""Whatever is wrong with a command ends as one line that says what, and changes nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traces.files import save_workload
from traces.workload import Application, Call, Workload, text

COMMANDS = json.loads((Path(__file__).parents[1] / "malformed" / "commands.json").read_text())


@pytest.fixture
def prepared(folder: Path) -> Path:
    """Files that the commands stumble over."""
    long_call = Call("c", (text("t", 5000),), output_tokens=1)
    save_workload(Workload("long", (Application("a", 0.0, (long_call,)),)), "long.json")
    (folder / "broken.json").write_text("{")
    (folder / "plain.json.gz").write_text("{}")
    (folder / "notes.txt").write_text("a,b\n1,2\n")
    rows = "2023-11-16 18:15:46.5,374,44\n2023-11-16 18:15:48.5,396,109\n"
    (folder / "trace.csv").write_text(f"TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}")
    (folder / "lengths.csv").write_text("input_length,output_length\n5,5\n")
    (folder / "fewest_tokens.py").write_text("from policies.fifo import Fifo as FewestTokens\n")
    (folder / "half_written.py").write_text("class Policy(\n")
    (folder / "folder.json").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "thesis.tex").write_text("{}")
    for name, manifest in (("done", "{}"), ("torn", '{"backend":'), ("list", "[]")):
        (folder / name).mkdir()
        (folder / name / "manifest.json").write_text(manifest)
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command["name"])
def test_a_malformed_command_gets_one_line_and_status_2(
    command: dict[str, str], prepared: Path, dovetail: Callable[..., Any]
) -> None:
    before = contents(prepared)
    result = dovetail(*command["args"].split())
    assert result.status == 2
    assert result.out == ""
    assert result.err.startswith("dovetail: ")
    assert result.err.count("\n") == 1
    assert command["expect"] in result.err
    assert contents(prepared) == before


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its bytes, but for caches of the interpreter."""
    paths = [path for path in folder.rglob("*") if "__pycache__" not in path.parts]
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}
