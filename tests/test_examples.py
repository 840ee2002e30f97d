"""Every example prints what its `.out` file says, and the README's policy runs."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_prints_its_expected_output(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out == example.with_suffix(".out").read_text()


def test_every_expected_output_belongs_to_an_example() -> None:
    assert [path.stem for path in sorted((ROOT / "examples").glob("*.out"))] == [path.stem for path in EXAMPLES]


def test_the_policy_in_the_readme_runs_from_the_current_directory(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    (policy,) = (block for block in blocks if "(Policy)" in block)
    (tmp_path / "fewest_tokens.py").write_text(policy)
    name = re.search(r"class (\w+)\(Policy\)", policy)
    assert name is not None
    # -P keeps the current directory off the path, as for the installed console script.
    command = [sys.executable, "-P", "-m", "dovetail"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    generated = ["workload", "generate", "map-reduce", "--apps", "2", "--out", "w.json"]
    simulated = ["simulate", "w.json", "--policy", f"fewest_tokens:{name[1]}", "--window", "2", "--out", "run"]
    for words in (generated, simulated):
        done = subprocess.run([*command, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "calls.parquet").exists()
