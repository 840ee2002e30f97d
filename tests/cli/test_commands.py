"""The other commands: what they print agrees with the functions behind them."""

import json
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from analysis.metrics import makespan
from dovetail.profiles import profile_table
from sim.profile import list_profiles
from sim.vllm_version import require_vllm
from traces.files import load_workload, save_workload
from traces.records import read_run
from traces.workload import Application, Call, Workload, text

Dovetail = Callable[..., Any]

GENERATED = {
    "chain --calls 3 --prefix-tokens 50": 3,
    "map-reduce --maps 4 --apps 2 --arrivals poisson:1": 10,
    "chat --turns 3 --apps 2 --arrivals gamma:1:2": 6,
    "agents --files 2 --revisions 0": 3,
    "shared-prefix --prompt a:100:10:10 --prompt b:200:10:10:3 --apps 7 --arrivals uniform:2": 7,
    "single --prompt lognormal:100:1:500 --apps 5 --arrivals trace:single.json:3": 5,
}


@pytest.mark.parametrize("words", GENERATED)
def test_a_generator_writes_the_same_valid_file_for_the_same_seed(words: str, dovetail: Dovetail) -> None:
    dovetail("workload", "generate", "single", "--apps", "9", "--arrivals", "poisson:1", "--out", "single.json")
    for out in ("a.json", "b.json"):
        assert dovetail("workload", "generate", *words.split(), "--out", out).status == 0
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()
    assert sum(len(application.calls) for application in load_workload("a.json").applications) == GENERATED[words]


def test_an_azure_trace_is_imported_described_and_simulated(dovetail: Dovetail, folder: Path) -> None:
    rows = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.5,374,44\n2023-11-16 18:15:48.5,396,109\n"
    (folder / "trace.csv").write_text(rows)
    assert dovetail("workload", "import", "azure", "trace.csv", "--out", "trace.json").status == 0
    described = json.loads(dovetail("workload", "describe", "trace.json", "--json").out)
    assert "span 2 s  rate 0.5/s" in dovetail("workload", "describe", "trace.json").out
    assert (described["total_prompt_tokens"], described["arrivals"]["span"]) == (770, 2.0)
    assert dovetail("simulate", "trace.json", "--out", "run").status == 0


def test_a_description_comes_with_a_picture(dovetail: Dovetail) -> None:
    result = dovetail("workload", "describe", "good.json", "--plot", "picture.png")
    assert "num calls               16" in result.out
    assert Path("picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("number", "said"), [("1", "1 application, 1 call"), ("2", "2 applications, 2 calls")])
def test_one_application_is_not_called_applications(number: str, said: str, dovetail: Dovetail) -> None:
    assert dovetail("workload", "generate", "single", "--apps", number, "--out", "s.json").out.endswith(f"{said}\n")


def test_a_mixture_carries_its_labels(dovetail: Dovetail) -> None:
    dovetail("workload", "mix", "a=good.json", "b=good.json", "--out", "mixed.json")
    assert [application.id for application in load_workload("mixed.json").applications] == ["a/mr0", "b/mr0"]


def test_an_exported_workload_is_imported_with_the_same_lengths(dovetail: Dovetail) -> None:
    dovetail("workload", "export", "good.json", "--block-size", "16", "--out", "dynamo.jsonl")
    dovetail("workload", "import", "dynamo", "dynamo.jsonl", "--block-size", "16", "--out", "back.json")
    figures = [json.loads(dovetail("workload", "describe", name, "--json").out) for name in ("good.json", "back.json")]
    for name in ("num_calls", "total_prompt_tokens", "total_output_tokens"):
        assert figures[0][name] == figures[1][name]


def test_the_prediction_of_one_application_is_near_its_simulation(dovetail: Dovetail) -> None:
    """Equal maps on one engine come in rounds, which is what the closed form is about; it leaves out host overheads."""
    setting = ("--window", "3", "--network-latency", "0.25")
    predicted = json.loads(dovetail("predict", "good.json", *setting, "--json").out)
    dovetail("simulate", "good.json", *setting, "--out", "run")
    assert makespan(read_run(Path("run")).calls) == pytest.approx(predicted["seconds"], rel=0.02)


def test_every_profile_is_listed(dovetail: Dovetail) -> None:
    listed = dovetail("profiles").out
    assert all(name in listed for name in list_profiles())
    assert [row["profile"] for row in json.loads(dovetail("profiles", "--json").out)] == list(list_profiles())


def test_reproductions_are_printed_as_json_too(dovetail: Dovetail) -> None:
    rows = json.loads(dovetail("reproduce", "measured", "--json").out)
    assert len(rows) == 5
    assert all(row["makespan (s) measured"] > 0 for row in rows)


def test_names_of_profiles_are_whole_on_80_columns() -> None:
    narrow = Console(width=80, file=StringIO())
    narrow.print(profile_table())
    shown = narrow.file.getvalue()  # type: ignore[attr-defined]
    assert all(f" {name} " in shown for name in list_profiles())
    assert "…" not in shown


def test_a_call_that_just_fits_the_memory_runs_and_one_token_more_does_not(dovetail: Dovetail) -> None:
    """Ten blocks of 16, one of them vLLM's null block, hold 144 tokens; the last output token is never computed."""
    for num_tokens, status in ((135, 0), (136, 2)):
        call = Call("c", (text("t", num_tokens),), output_tokens=10)
        workload = Workload("one", (Application("a", 0.0, (call,)),))
        save_workload(workload, "one.json")
        words = "simulate one.json --num-blocks 10 --overwrite --out run"
        assert dovetail(*words.split()).status == status


def test_the_demo_writes_runs_and_pictures_of_every_policy(dovetail: Dovetail) -> None:
    result = dovetail("demo", "--simulate-only", "--out", "demo")
    assert result.status == 0
    assert "The simulations took" in result.out
    recorded = (Path("demo") / "demo.txt").read_text(encoding="utf-8")
    assert recorded == result.out
    assert max(map(len, recorded.splitlines())) <= 80
    assert "…" not in recorded
    for name in ("fifo", "stage-priority", "prefix-affinity"):
        assert read_run(Path("demo/single") / name).manifest["complete"]
    assert len(list(Path("demo").rglob("*.png"))) == 4


def test_the_demo_prints_the_rows_of_its_tables_as_json(dovetail: Dovetail) -> None:
    data = json.loads(dovetail("demo", "--simulate-only", "--out", "demo", "--json").out)
    assert [row["policy"] for row in data["single"]] == [row["policy"] for row in data["several"]]
    first, text = data["single"][0], (Path("demo") / "demo.txt").read_text(encoding="utf-8")
    assert f"{first['JCT']:.3f}" in text
    assert f"{data['several'][0]['jct_mean']:.3f}" in text


def test_the_demo_ends_well_where_vllm_is_not_installed(dovetail: Dovetail, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise ValueError("vLLM is not installed")

    monkeypatch.setattr("sim.vllm_version.require_vllm", refuse)
    result = dovetail("demo", "--out", "demo")
    assert result.status == 0
    assert result.out.endswith("left out here: vLLM is not installed\n")
    assert not Path("demo/virtual-device").exists()


def test_the_demo_ends_with_vllm_on_the_virtual_device(dovetail: Dovetail) -> None:
    """How near the two are is not judged here: a host that is busy makes calls late."""
    try:
        require_vllm()
    except ValueError as error:
        pytest.skip(str(error))
    result = dovetail("demo", "--out", "demo")
    assert result.status == 0
    assert "modelled, not measured" in " ".join(result.out.split())
    for name in ("fifo", "stage-priority", "prefix-affinity"):
        assert "Virtual device" in Path(f"demo/virtual-device/{name}/report.html").read_text()
        simulated, virtual = (
            read_run(Path("demo/virtual-device") / kind / name / "0") for kind in ("simulated", "virtual")
        )
        assert (simulated.manifest["backend"], virtual.manifest["backend"]) == ("sim", "real")
        assert set(virtual.calls["app"] + virtual.calls["call"]) == set(
            simulated.calls["app"] + simulated.calls["call"]
        )
        assert (virtual.calls["status"] == "ok").all()


def test_help_does_not_load_the_simulator() -> None:
    script = "import sys, dovetail.main; print([name for name in ('numpy', 'pandas', 'simpy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
