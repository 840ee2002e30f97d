"""What a specification may say, and the cells it spans."""

from pathlib import Path

import pytest

from dovetail.sweeps.cell import Arrivals, Cell, Source
from dovetail.sweeps.digest import cell_key
from dovetail.sweeps.run_cell import run_cell
from dovetail.sweeps.spec import cells_of, load_spec
from dovetail.sweeps.workload import Prepared, deadlines_of, prepare
from sim.profile import load_profile
from tests.sweep.conftest import ROOT
from traces.files import save_workload
from traces.generators.mapreduce import map_reduce
from traces.workload import Workload, num_calls

BASE = "workloads: {w: map-reduce --maps 2 --apps 4}\npolicies: {fifo: --policy fifo}\n"


def load(folder: Path, text: str) -> list[Cell]:
    path = folder / "spec.yaml"
    path.write_text(text)
    return cells_of(load_spec(path), folder)


MALFORMED = {
    "loads: [0]": "loads: 0.0 must be positive",
    "loads: 0.5": "Expected `array`",
    "lods: [0.5]": "`lods`",
    "seeds: 0": "seeds=0 must be a positive number",
    "seeds: [1, 1]": "must be a positive number of seeds, or different ones",
    "loads: [0.5]\nrates: [1]": "exclude each other",
    "loads: [0.5, 0.50]": "arrivals: load 0.5 is given twice",
    "axes: {window: [2, 2.0]}": "axes: window: 2.0 is given twice",
    "warmup: 1": "warmup=1.0 must be in [0, 1)",
    "deadline: 0.5": "nothing is faster than alone",
    "baseline: lifo": "must be one of fifo, oracle",
    "axes: {colour: [1]}": "axes: 'colour' must be predictor-error or one of policy",
    "axes: {window: []}": "'window' is empty",
    "axes: {window: [many]}": "'many' is not a valid integer",
    "options: --window -1": "window=-1 must be finite and not negative",
    "options: --seed 3": "seeds are given by 'seeds'",
    "options: --engine 3": "No such option",
    "options: --profile b200": "b200",
    "arrivals: [poisson]": "arrivals 'poisson' must be",
}


@pytest.mark.parametrize("line", MALFORMED)
def test_a_malformed_specification_is_refused_in_one_line(line: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        load(tmp_path, f"{BASE}{line}\n")
    assert MALFORMED[line] in str(refused.value)
    assert "spec.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("workload", "reason"),
    [
        ("map-reduce --mops 2", "No such option"),
        ("map-reduce --seed 2", "No such option"),
        ("maps", "must be a workload file (.json, .jsonl, .json.gz, .jsonl.gz) or begin with one of agents, chain"),
        ("absent.json", "absent.json: no such file"),
    ],
)
def test_a_workload_that_cannot_be_made_is_refused(workload: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        load(tmp_path, f"workloads: {{w: {workload}}}\npolicies: {{fifo: ''}}\n")
    assert reason in str(refused.value)
    assert "workload 'w'" in str(refused.value)


def test_a_policy_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"policy lifo: policy='lifo' is none of"):
        load(tmp_path, BASE.replace("{fifo: --policy fifo}", "{lifo: --policy lifo}"))


def test_cells_are_all_combinations_and_an_oracle_seed_by_seed(tmp_path: Path) -> None:
    cells = load(tmp_path, BASE + "loads: [0.3, 0.6]\nseeds: [4, 7]\naxes: {window: [2, 0], view-staleness: [0.5]}\n")
    assert len(cells) == 2 * 2 * 2 * 2  # loads, seeds, windows, policies
    assert [cell.seed for cell in cells] == [4] * 8 + [7] * 8
    first, second = cells[:2]
    assert dict(first.coordinates) == {
        "workload": "w",
        "arrivals": "load 0.3",
        "window": 2.0,
        "view-staleness": 0.5,
        "policy": "fifo",
    }
    assert dict(second.coordinates)["policy"] == "oracle"
    assert first.words == ("--policy", "fifo", "--window", "2", "--view-staleness", "0.5")


def test_a_predictors_error_is_given_to_the_policies_that_have_one(tmp_path: Path) -> None:
    cells = load(tmp_path, BASE + "seeds: 1\naxes: {predictor-error: [0.5]}\n")
    assert "--policy-arg" not in cells[0].words
    assert cells[1].words[-2:] == ("--policy-arg", "error=0.5")


def test_cells_that_are_the_same_have_one_result(tmp_path: Path) -> None:
    """FIFO predicts nothing, so it is run once for all errors of the predictor."""
    cells = load(tmp_path, BASE + "seeds: 1\naxes: {predictor-error: [0, 1]}\n")
    assert len({cell_key(cell, "code") for cell in cells}) == 3


def test_another_workload_file_of_the_same_name_is_another_cell(tmp_path: Path) -> None:
    keys = set()
    for num_maps in (2, 3):
        folder = tmp_path / str(num_maps)
        folder.mkdir()
        save_workload(map_reduce(num_maps), folder / "w.json")
        (cell, _) = load(folder, "workloads: {w: w.json}\npolicies: {fifo: ''}\nseeds: 1\n")
        keys.add(cell_key(cell, "code"))
    assert len(keys) == 2


SOURCE = Source((("", "single --prompt lognormal:500:1:2000 --apps 30"),), ".", deadline=3.0)


def prepared(arrivals: Arrivals, seed: int, source: Source = SOURCE) -> Prepared:
    from analysis.rounds import Deployment

    cost = load_profile("h100-llama-13b").step_cost(True)
    return prepare(source, arrivals, seed, lambda workload: (cost, Deployment(num_engines=2, num_resident=16)))


def lengths(workload: Workload) -> list[int | None]:
    return [application.calls[0].prompt[0].tokens for application in workload.applications]


def test_a_seed_is_the_same_applications_at_every_load() -> None:
    low, high, other = (
        prepared(Arrivals("load", load), seed).workload for load, seed in ((0.2, 0), (0.8, 0), (0.2, 1))
    )
    assert lengths(low) == lengths(high) != lengths(other)
    gaps = [first.arrival / second.arrival for first, second in zip(low.applications, high.applications, strict=True)]
    assert gaps == pytest.approx([4.0] * len(gaps))


def test_the_offered_load_is_what_was_asked_for_but_for_chance() -> None:
    loads = [prepared(Arrivals("load", 0.5), seed).load(2) for seed in range(20)]
    assert sum(loads) / len(loads) == pytest.approx(0.5, rel=0.1)


def test_a_mixture_arrives_as_one_stream(tmp_path: Path) -> None:
    parts = (("big", "map-reduce --maps 3 --apps 10"), ("small", "single --apps 30"))
    workload = prepared(Arrivals("rate", 2.0), 0, Source(parts, ".")).workload
    labels = [application.id.partition("/")[0] for application in workload.applications]
    assert sorted(labels) == ["big"] * 10 + ["small"] * 30
    assert "big" in labels[20:]
    assert workload.applications[-1].arrival == pytest.approx(20.0, rel=0.5)


def test_a_deadline_is_a_multiple_of_the_time_alone() -> None:
    made = prepared(Arrivals("load", 0.5), 0)
    app, deadline = next(iter(deadlines_of(made.workload).items()))
    assert deadline == pytest.approx(3 * made.alone[app])


def test_policies_see_the_same_applications_arrivals_and_network(tmp_path: Path) -> None:
    """Common random numbers: without contention even the results are the same."""
    line = "workloads: {w: single --apps 20}\npolicies: {fifo: '', app-fifo: --policy app-fifo}\nloads: [0.01]\n"
    cells = load(tmp_path, f"{line}options: --network-latency exponential:0.2\nseeds: 2\n")
    fifo, app_fifo, _, other_seed, *_ = (run_cell(cell).result for cell in cells)
    assert str(fifo) == str(app_fifo)  # as text, where NaN is equal to NaN
    assert fifo["e2e_mean"] != other_seed["e2e_mean"]


def test_the_specification_in_the_documentation_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "sweeps.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    save_workload(map_reduce(2), tmp_path / "azure.jsonl.gz")
    (tmp_path / "my_module.py").write_text(
        "from policies.interface import Policy\n\n"
        "class MyPolicy(Policy):\n    def __init__(self, weight: float) -> None: ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert len(load(tmp_path, text)) == 3 * 3 * 4 * (3 * 2 * 2) * 5  # workloads, loads, policies, axes, seeds


def test_the_benchmark_has_800_cells_of_about_2000_calls() -> None:
    spec = load_spec(ROOT / "bench" / "sweep.yaml")
    cells = cells_of(spec, ROOT / "bench")
    counts = {name: num_calls(prepared(Arrivals("load", 0.5), 0, source).workload) for name, source in sources(cells)}
    assert len(cells) == 800
    assert counts == {"map-reduce": 2000, "chat": 2000, "assistants": 2000, "mixed": 2000}


def sources(cells: list[Cell]) -> list[tuple[str | float, Source]]:
    """Each workload of a sweep by its name."""
    return list({dict(cell.coordinates)["workload"]: cell.source for cell in cells}.items())
