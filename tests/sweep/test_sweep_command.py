"""`dovetail sweep` from end to end: kept cells, interruptions, failures, tables and pictures."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pandas as pd

from tests.sweep.conftest import Swept, start_in, sweep_in, table_of
from traces.records import read_run

#: A policy of one's own; its rank is filled in.
POLICY = """
import os
from policies.interface import Policy

class Mine(Policy):
    def rank(self, call, now):
        return {rank}
"""

Tiny = Callable[..., Swept]


def wait_for(condition: Callable[[], object], process: Popen[str]) -> None:
    until = time.monotonic() + 120.0
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def cell_files(folder: Path) -> dict[str, int]:
    """When each finished cell was written, nanoseconds."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "cells").glob("*.json")}


def test_a_sweep_writes_tables_and_pictures(whole: Swept) -> None:
    assert (whole.status, whole.out.splitlines()[0]) == (0, "24 cells, 0 of them kept from earlier")
    assert "24 of 24 cells" in whole.err
    cells = table_of(whole.folder)
    assert list(cells.groupby(["workload", "arrivals", "policy"], sort=False).size()) == [2] * 12
    assert (cells["status"] == "ok").all()
    assert (cells["jct_mean"] >= cells["jct_bound"]).all()
    settings = pd.read_csv(whole.folder / "settings.csv")
    assert set(settings.columns) >= {"workload", "arrivals", "policy", "figure", "mean", "low", "high", "is_saturated"}
    for picture in ("load", "jct-cdf", "differences"):
        assert (whole.folder / f"{picture}.png").stat().st_size > 10_000


def test_json_holds_what_the_tables_of_the_folder_hold(spec: Path, whole: Swept, tmp_path: Path) -> None:
    shutil.copytree(whole.folder, tmp_path / "out")
    ended = sweep_in(tmp_path, spec, "--json")
    assert ended.err == "24 cells, 24 of them kept from earlier\n"
    found = json.loads(ended.out)
    assert (found["num_cells"], found["failures"]) == (24, [])
    for name in ("settings", "differences"):
        written = pd.read_csv(whole.folder / f"{name}.csv")
        pd.testing.assert_frame_equal(pd.DataFrame(found[name]), written)


def test_json_of_a_sweep_with_a_failed_cell_names_the_error(tiny: Tiny) -> None:
    ended = tiny(POLICY.format(rank="1 / 0"), "--json")
    (failure,) = json.loads(ended.out)["failures"]
    assert ended.status == 1
    assert failure == {"error": failure["error"], "num_cells": 1, "policy": "mine", "workload": "documents"}
    assert failure["error"].startswith("ZeroDivisionError")


def test_a_killed_sweep_goes_on_where_it_was(spec: Path, whole: Swept, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    process = start_in(tmp_path, spec, "--out", "out", "--jobs", 2)
    wait_for(lambda: cell_files(folder), process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=120)  # ends only when its children, which hold the pipes, have ended, too
    before = cell_files(folder)
    assert 1 <= len(before) < 24
    resumed = sweep_in(tmp_path, spec)
    assert (resumed.status, resumed.out.splitlines()[0]) == (0, f"24 cells, {len(before)} of them kept from earlier")
    assert {name: cell_files(folder)[name] for name in before} == before
    assert (folder / "cells.parquet").read_bytes() == (whole.folder / "cells.parquet").read_bytes()


def test_an_interrupted_sweep_says_how_to_go_on(spec: Path, tmp_path: Path) -> None:
    process = start_in(tmp_path, spec, "--out", "out", "--jobs", 1)
    wait_for(lambda: cell_files(tmp_path / "out"), process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "dovetail: interrupted; the same command continues what is in out"


def test_a_policy_that_was_edited_runs_again_and_the_others_do_not(tiny: Tiny) -> None:
    first = table_of(tiny(POLICY.format(rank="-call.submitted_at")).folder)
    second = tiny(POLICY.format(rank="call.submitted_at"))
    assert (second.status, second.out.splitlines()[0]) == (0, "3 cells, 2 of them kept from earlier")
    changed = first["jct_mean"] != table_of(second.folder)["jct_mean"]
    assert set(first.loc[changed, "policy"]) == {"mine"}


def test_a_failing_cell_is_recorded_and_the_others_run(tiny: Tiny) -> None:
    ended = tiny(POLICY.format(rank="1 / (len(call.stage) - 6)"))  # as many letters as in "reduce"
    cells = table_of(ended.folder).set_index("policy")
    assert ended.status == 1
    assert cells["status"].to_dict() == {"fifo": "ok", "mine": "failed", "oracle": "ok"}
    assert cells.loc["mine", "error"].startswith("ZeroDivisionError: ")
    last = ended.out.splitlines()[-1]
    assert last.startswith("1 cell without a result, as policy mine on documents: ZeroDivisionError")


def test_a_process_that_dies_costs_its_own_cell_alone(tiny: Tiny) -> None:
    ended = tiny(POLICY.format(rank="os._exit(9)"))
    assert ended.status == 1
    assert table_of(ended.folder)["status"].tolist() == ["ok", "lost", "ok"]


def test_run_directories_are_kept_on_request(tiny: Tiny) -> None:
    ended = tiny(POLICY.format(rank="0"), "--runs")
    cells = table_of(ended.folder)
    for key, num_calls in zip(cells["key"], cells["num_calls"], strict=True):
        assert len(read_run(ended.folder / "runs" / key).calls) == num_calls


def test_a_folder_of_something_else_is_left_alone(spec: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("")
    ended = sweep_in(tmp_path, spec)
    assert ended.status == 2
    assert ended.err == "dovetail: --out out is not empty and holds no sweep.json; it is left as it is\n"


def test_further_axes_have_pictures_of_their_own(tiny: Tiny) -> None:
    ended = tiny(POLICY.format(rank="0"), more="axes: {view-staleness: [0, 0.5], predictor-error: [0, 0.5]}\n")
    first = ended.out.splitlines()[0]
    assert (ended.status, first) == (0, "12 cells, 0 of them kept from earlier, 4 the same as others")
    sensitivity = {path.name for path in ended.folder.glob("sensitivity-*.png")}
    assert sensitivity == {"sensitivity-view-staleness.png", "sensitivity-predictor-error.png"}
