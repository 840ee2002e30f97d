"""`dovetail simulate`: what it writes, that it repeats itself exactly, and how it ends when it is stopped."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traces.records import CALL_COLUMNS, read_run

Dovetail = Callable[..., Any]

TABLES = ("calls.parquet", "steps.parquet", "decisions.parquet")

#: A busy run in which everything that is drawn matters: chats that share prefixes, few KV blocks, random routing.
BUSY = (
    "simulate chat.json --policy random --engines 3 --window 6 --num-blocks 300 --max-model-len 4096 "
    "--network-latency lognormal:0.05:1 --seed 7"
)


@pytest.fixture
def chat(dovetail: Dovetail) -> None:
    words = "workload generate chat --apps 40 --arrivals poisson:4 --think-time 1 --system-tokens 64 --out chat.json"
    assert dovetail(*words.split()).status == 0


def tables(directory: str) -> list[bytes]:
    return [(Path(directory) / name).read_bytes() for name in TABLES]


@pytest.mark.usefixtures("chat")
def test_two_runs_with_one_seed_write_the_same_bytes(dovetail: Dovetail) -> None:
    for out in ("a", "b"):
        assert dovetail(*BUSY.split(), "--out", out).status == 0
    assert tables("a") == tables("b")


@pytest.mark.usefixtures("chat")
def test_another_seed_gives_other_records(dovetail: Dovetail) -> None:
    dovetail(*BUSY.split(), "--out", "a")
    dovetail(*BUSY.split(), "--seed", "8", "--out", "b")
    assert all(first != second for first, second in zip(tables("a"), tables("b"), strict=True))


@pytest.mark.usefixtures("chat")
def test_visiting_every_step_writes_the_same_bytes(dovetail: Dovetail) -> None:
    dovetail(*BUSY.split(), "--out", "a")
    dovetail(*BUSY.split(), "--step-by-step", "--out", "b")
    assert read_run(Path("a")).calls["num_preemptions"].sum() > 0
    assert tables("a") == tables("b")


def test_the_manifest_says_what_ran(dovetail: Dovetail) -> None:
    words = (
        "simulate good.json --policy stage-priority --policy-arg bounds=map=4 --engines 2 --max-num-seqs 8 --out run"
    )
    assert dovetail(*words.split()).status == 0
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["complete"] is True
    assert manifest["command"] == ["dovetail", *words.split()]
    assert manifest["policy"]["parameters"] == {"bounds": {"map": 4}}
    assert (manifest["num_engines"], manifest["engine_settings"]["max_num_seqs"]) == (2, 8)
    assert manifest["engine_settings"]["num_blocks"] == 3801  # the profile's, as the H100 engine reported it


def test_csv_tables_hold_the_columns_of_the_format(dovetail: Dovetail) -> None:
    dovetail("simulate", "good.json", "--out", "run", "--csv")
    assert Path("run/calls.csv").read_text().splitlines()[0].split(",") == list(CALL_COLUMNS)
    assert sorted(path.suffix for path in Path("run").iterdir()) == [".csv"] * 3 + [".json"] + [".parquet"] * 3


def test_json_is_the_only_thing_printed_on_request(dovetail: Dovetail) -> None:
    result = dovetail("simulate", "good.json", "--out", "run", "--json")
    assert json.loads(result.out)["totals"]["num_calls"] == 16


def test_an_earlier_run_is_replaced_only_on_request(dovetail: Dovetail) -> None:
    dovetail("simulate", "good.json", "--out", "run")
    assert dovetail("simulate", "good.json", "--out", "run", "--engines", "2").status == 2
    assert dovetail("simulate", "good.json", "--out", "run", "--engines", "2", "--overwrite").status == 0
    assert read_run(Path("run")).manifest["num_engines"] == 2
    assert sorted(path.name for path in Path().iterdir()) == ["good.json", "run"]


def test_a_smaller_block_divides_the_same_memory(dovetail: Dovetail) -> None:
    dovetail("simulate", "good.json", "--out", "run", "--block-size", "8")
    assert read_run(Path("run")).manifest["engine_settings"]["num_blocks"] == 2 * 3801


def test_leaving_the_measured_domain_warns_in_one_line(dovetail: Dovetail) -> None:
    result = dovetail("simulate", "good.json", "--out", "run", "--max-num-batched-tokens", "16384")
    assert result.status == 0
    assert result.err.count("\n") == 1
    assert "tokens in a step=" in result.err
    assert "lies beyond the measured 2048" in result.err  # `domain` of the profile
    assert read_run(Path("run")).manifest["warnings"]


def test_an_interrupted_run_leaves_readable_records_in_the_place_of_an_earlier_run(
    dovetail: Dovetail, folder: Path
) -> None:
    """Ctrl-C in the middle of the loop: Python raises it wherever it is, here at the tenth decision."""
    (folder / "stopped.py").write_text(
        "from policies.interface import Policy\n"
        "class Stopped(Policy):\n"
        "    num_decisions = 0\n"
        "    def route(self, call, engines, now):\n"
        "        self.num_decisions += 1\n"
        "        if self.num_decisions == 10: raise KeyboardInterrupt\n"
        "        return super().route(call, engines, now)\n"
    )
    assert dovetail("simulate", "good.json", "--out", "run").status == 0
    words = "simulate good.json --out run --overwrite --window 2 --policy stopped:Stopped"
    result = dovetail(*words.split())  # the earlier, complete run gives way, as the help says
    assert (result.status, "interrupted" in result.err) == (130, True)
    records = read_run(Path("run"))
    assert records.manifest["complete"] is False
    # Nine calls were dispatched; the tenth was asked about when all but one of them had finished.
    assert records.calls["status"].value_counts().to_dict() == {"ok": 8, "unfinished": 8}


def test_a_policy_that_holds_for_ever_is_told_apart_from_an_empty_queue(dovetail: Dovetail, folder: Path) -> None:
    (folder / "stuck.py").write_text(
        "from policies.interface import Policy\n"
        "class Stuck(Policy):\n"
        "    def route(self, call, engines, now): return None\n"
    )
    result = dovetail("simulate", "good.json", "--out", "run", "--policy", "stuck:Stuck")
    assert (result.status, Path("run").exists()) == (2, False)
    assert "the policy holds mr0/map0" in result.err
