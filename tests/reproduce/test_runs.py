"""Runs measured on H100s and H200s beside their simulation. Bounds are the goals for runs that took no part in a fit.

The goals: mean absolute error at most 1% for the makespan and 2% for the mean E2E latency, no run above 5% in either.
"""

import tomllib
from pathlib import Path

import pytest
import yaml

from analysis.ranking import COLUMNS
from reproduce import policy_ranking, runs
from reproduce.measured_runs import DATA, PROFILE, experiments, simulated
from reproduce.run_figures import TIMES, compared, errors_by, mean_absolute_errors
from sim.profile import load_profile

#: Suites of measured runs by the profile that simulates them.
SUITES = {
    "h200-llama-13b": [
        "measured_h200_13b/one-gpu.yaml",
        "measured_h200_13b/two-gpus.yaml",
        "measured_h200_13b_again/one-gpu.yaml",
        "measured_h200_13b_again/four-gpus.yaml",
    ],
    "h200-llama-13b-tp2": ["measured_h200_13b_tp2/two-gpus.yaml"],
    "h200-llama-8b": [
        "measured_h200_8b/one-gpu.yaml",
        "measured_h200_8b_again/one-gpu.yaml",
        "measured_h200_8b_third/one-gpu.yaml",
        "measured_h200_8b_fourth/one-gpu.yaml",
    ],
    "h100-llama-13b": [
        "measured_h100_13b/one-gpu.yaml",
        "measured_h100_13b/policies.yaml",
        "measured_h100_13b_again/one-gpu.yaml",
    ],
    "h100-llama-8b": ["measured_h100_8b/one-gpu.yaml", "measured_h100_8b_again/one-gpu.yaml"],
}

#: The line that repeats another (reproduce/data/README.md).
REPEATS_ANOTHER = {"h200-llama-13b": {"mixed-1-fifo-again"}}

#: Goals that are missed, by up to 30% of them (docs/reproduction.md), and single runs above 5%.
MISSED = {("h100-llama-8b", "makespan (s)")}
ABOVE_5_PERCENT = {
    ("h100-llama-8b", "mean E2E (s)"): {"map-reduce"},  # a second long, repeats 4.6% apart
}


@pytest.fixture(scope="module")
def profile():
    return load_profile(PROFILE)


@pytest.fixture(scope="module")
def rows(profile):
    return runs.rows(profile).set_index("run")


@pytest.fixture(scope="module")
def ranked():
    return policy_ranking.table()


@pytest.mark.parametrize("name", SUITES)
def test_every_line_of_the_suites_has_a_run_unless_it_repeats_another(name):
    lines = set()
    for suite in SUITES[name]:
        lines |= yaml.safe_load((DATA / suite).read_text()).keys() - {"defaults"}
    found = {each.name for each in experiments(load_profile(name))}
    assert found == lines - REPEATS_ANOTHER.get(name, set())


def test_every_measured_run_directory_belongs_to_one_experiment():
    directories = [
        directory for name in SUITES for each in experiments(load_profile(name)) for directory in each.repeats
    ]
    assert sorted(directories) == sorted(path.parent for path in DATA.glob("measured_*/runs/*/*/manifest.json"))
    assert len(set(directories)) == len(directories) == 169


def test_a_profile_whose_engine_was_not_measured_is_refused_with_what_was():
    larger = "llama-13b x1 on H100, llama-13b x1 on H200, llama-13b x2 on H200"
    measured = f"{larger}, llama-8b x1 on H100, llama-8b x1 on H200$"
    with pytest.raises(ValueError, match=f"no run of llama-7b x1 on A100 was measured; measured were {measured}"):
        experiments(load_profile("a100-llama-7b"))


def test_a_line_that_says_the_same_as_another_is_its_repeat(profile):
    (fifo,) = [each for each in experiments(profile) if each.name == "mixed-1-fifo"]
    assert [directory.parent.name for directory in fifo.repeats] == ["mixed-1-fifo", "mixed-1-fifo-again"]


def test_every_run_has_as_many_calls_as_its_workload(rows, profile):
    expected = {each.name: each.manifest["workload"]["num_calls"] for each in experiments(profile)}
    assert rows["calls"].to_dict() == expected


@pytest.mark.parametrize("name", SUITES)
def test_the_goals_for_runs_that_took_no_part_in_the_fit_are_met_but_for_those_named(name):
    found = runs.rows(load_profile(name)).set_index("run")
    for figure, goal in (("makespan (s)", 1.0), ("mean E2E (s)", 2.0)):
        errors = found[f"{figure} error (%)"].abs()
        assert (errors.mean() > goal) == ((name, figure) in MISSED)
        assert errors.mean() <= 1.3 * goal
        assert set(errors.index[errors > 5.0]) == ABOVE_5_PERCENT.get((name, figure), set())


@pytest.mark.parametrize("machine", ["third", "fourth"])
def test_the_goals_are_met_by_a_calibration_for_the_runs_minutes_after_it_on_the_same_machine(machine):
    profile = load_profile(str(DATA / "calibrated_again" / f"h200-llama-8b-{machine}.json"))
    found = runs.rows(profile, f"measured_h200_8b_{machine}")
    for figure, goal in (("makespan (s)", 1.0), ("mean E2E (s)", 2.0)):
        errors = found[f"{figure} error (%)"].abs()
        assert errors.mean() <= goal
        assert errors.max() <= 5.0


def test_no_run_but_the_one_with_full_memory_preempts_in_simulation_or_measurement(rows):
    others = rows.drop("burst-memory-full")
    assert set(others["preemptions measured"]) == {"0"}
    assert not others["preemptions simulated"].any()


def test_every_run_whose_engines_see_calls_in_one_order_finds_the_measured_tokens_in_the_prefix_cache(rows):
    """In the mixed loads, whose calls two or four engines get, what is in which cache depends on single decisions."""
    fixed = rows[~rows.index.str.startswith("mixed-")]
    assert list(fixed["cached tokens measured"]) == list(fixed["cached tokens simulated"].astype(str))
    assert (fixed["cached tokens simulated"] > 0).sum() == 11


def test_the_simulation_of_a_manifest_is_labelled_like_that_of_the_command(profile):
    (bounded,) = [each for each in experiments(profile) if each.name == "map-reduce-30-bounds"]
    manifest = simulated(bounded, profile).manifest
    assert manifest["backend"] == "sim"
    assert manifest["policy"]["parameters"] == {"bounds": {"map": 8, "reduce": 2}}
    assert manifest["workload"]["hash"] == bounded.manifest["workload"]["hash"]


def test_errors_are_of_the_mean_of_repeats_and_noise_is_between_them():
    row = compared({"makespan (s)": 10.3}, [{"makespan (s)": 9.8}, {"makespan (s)": 10.2}])
    assert row["makespan (s) measured"] == pytest.approx(10.0)
    assert row["makespan (s) error (%)"] == pytest.approx(3.0)
    assert row["makespan (s) noise (%)"] == pytest.approx(100 * 0.4 / 9.8)


def test_the_summary_names_the_worst_run_and_counts_those_above_5_percent(rows):
    altered = rows.reset_index().copy()
    altered["makespan (s) error (%)"] = 1.0
    altered.loc[altered["run"] == "chat", "makespan (s) error (%)"] = -12.5
    (makespan,) = mean_absolute_errors(altered).query("figure == 'makespan'").to_dict("records")
    assert (makespan["in"], makespan["largest (%)"], makespan["runs above 5%"]) == ("chat", 12.5, 1)
    assert len(mean_absolute_errors(altered)) == len(TIMES)


def test_errors_are_told_apart_by_the_number_of_engines(rows):
    found = errors_by(rows.reset_index(), "engines").set_index("engines")
    assert found["experiments"].to_dict() == {1: 19, 2: 28, 4: 9}
    of_four = rows.loc[rows["engines"] == 4, "mean E2E (s) error (%)"].abs()
    assert found.loc[4, "mean E2E"] == pytest.approx(of_four.mean())


def test_six_policies_are_ranked_on_each_draw_of_the_mixed_load_and_on_all(ranked):
    assert list(ranked.columns) == list(COLUMNS)
    found = policy_ranking.ranking(ranked).scenarios.set_index("scenario")
    assert found["num_policies"].to_dict() == {
        "agents": 3,
        "map-reduce-30": 4,
        "mixed-1": 10,  # stage-priority under three windows, without one, and in the engines
        "mixed-2": 6,
        "mixed-3": 6,
        "mixed-4": 7,  # stage-priority under two windows
        "mixed, all 3 draws": 6,
    }
    assert policy_ranking.unchanged(ranked) == ["chat"]


def test_the_draws_of_the_mixed_load_weigh_the_same_however_often_each_was_measured(ranked):
    pooled = policy_ranking.ranking(ranked).policies.query("scenario == 'mixed, all 3 draws' and policy == 'fifo'")
    draws = ranked[ranked["scenario"].isin(("mixed-1", "mixed-2", "mixed-3")) & (ranked["policy"] == "fifo")]
    assert len(draws) == 4
    assert pooled["measured"].item() == pytest.approx(draws.groupby("scenario")["measured"].mean().mean())


def test_every_difference_of_policies_that_repeats_resolve_has_its_sign_in_simulation(ranked):
    pairs = policy_ranking.ranking(ranked).pairs
    resolved = pairs[pairs["resolved"]]
    assert len(resolved) == 11
    assert resolved["agree"].all()


def test_every_suite_finds_its_workloads():
    for suite in DATA.glob("measured_*/*.yaml"):
        lines = yaml.safe_load(suite.read_text())
        lines.pop("defaults")
        for line in lines.values():
            assert (suite.parent / line.split()[0]).is_file(), (suite, line)


def test_runs_of_one_folder_are_told_apart_from_their_repeats_elsewhere():
    profile = load_profile("h200-llama-8b")
    (both,) = [each for each in experiments(profile) if each.name == "chat"]
    (first,) = [each for each in experiments(profile, "measured_h200_8b") if each.name == "chat"]
    assert (len(both.repeats), len(first.repeats)) == (4, 1)
    with pytest.raises(ValueError, match="no measured runs in measured_a100; there are measured_h100_13b, "):
        experiments(profile, "measured_a100")


def test_all_measured_data_is_in_the_package():
    root = Path(__file__).parents[2]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["reproduce"]
    packaged = {path for pattern in patterns for path in (root / "reproduce").glob(pattern) if path.is_file()}
    assert packaged == {path for path in (root / "reproduce" / "data").rglob("*") if path.is_file()}
