"""The README's figures of measured runs are those that `dovetail reproduce runs` and `policies` print."""

import re
from pathlib import Path

import pytest

from reproduce import measured, policy_ranking, runs
from reproduce.measured_runs import PROFILE
from reproduce.run_figures import mean_absolute_errors
from sim.profile import load_profile

README = (Path(__file__).parents[2] / "README.md").read_text()

#: Columns of the leading table: figures and their places.
SHOWN = {"makespan (s)": 2, "mean E2E (s)": 3, "p95 E2E (s)": 3}


def table(header):
    """Rows of the README's table under a header, by their first cell."""
    lines = README.split(header, 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in cells}


@pytest.fixture(scope="module")
def rows():
    return runs.rows(load_profile(PROFILE))


def percent(value, places=1):
    text = f"{value:+.{places}f}%"
    return text if float(text[:-1]) else "0.0%"


def test_runs_are_shown_as_the_command_prints_them(rows):
    shown = table("| run | GPUs | calls |")
    assert len(shown) == 15
    by_run = rows.set_index("run")
    for name, (num_engines, num_calls, *figures) in shown.items():
        row = by_run.loc[name]
        assert (int(num_engines), int(num_calls)) == (row["engines"], row["calls"])
        for text, (figure, places) in zip(figures, SHOWN.items(), strict=True):
            both = [f"{row[f'{figure} {kind}']:.{places}f}" for kind in ("measured", "simulated")]
            assert text == f"{both[0]} → {both[1]} s ({percent(row[f'{figure} error (%)'])})", (name, figure)


def test_the_worst_run_of_every_column_is_shown(rows):
    shown = table("| run | GPUs | calls |")
    for figure in SHOWN:
        assert rows.loc[rows[f"{figure} error (%)"].abs().idxmax(), "run"] in shown


def test_errors_by_figure_are_shown_as_the_command_prints_them(rows):
    shown = table("| figure | mean absolute error |")
    errors = mean_absolute_errors(rows).set_index("figure")
    assert shown.keys() == set(errors.index) - {"p99 TTFT"}  # shown by the command and not judged
    for figure, cells in shown.items():
        row = errors.loc[figure]
        percents = [f"{row[name]:.2f}%" for name in ("mean absolute error (%)", "largest (%)", "noise of repeats (%)")]
        assert cells == [*percents[:2], str(row["runs above 5%"]), percents[2]], figure


def test_errors_by_profile_are_shown_as_the_commands_print_them():
    lines = README.split("| profile | measured | makespan |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    assert len(lines) == 5
    for line in lines:
        name, what, *shown = [cell.strip() for cell in line.strip("|").split("|")]
        found = measured.rows(name.strip("`")) if "another H100" in what else runs.rows(load_profile(name.strip("`")))
        errors = mean_absolute_errors(found).set_index("figure")["mean absolute error (%)"]
        assert what.startswith(f"{len(found)} ")
        assert shown == [f"{errors[figure]:.2f}%" for figure in ("makespan", "mean E2E", "p99 E2E", "mean TTFT")]


def test_what_the_window_costs_is_shown_as_the_command_prints_it(rows):
    by_run = rows.set_index("run")
    ends = {"8": "", "none": "-no-window", "none, order in the engines": "-in-engines"}
    shown = table("| window | mean JCT |")
    assert len(shown) == 5
    for window, cells in shown.items():
        row = by_run.loc["mixed-1-stage-priority" + ends.get(window, f"-window-{window}")]
        for text, figure in zip(cells, ("mean JCT (s)", "p95 JCT (s)"), strict=True):
            assert text == f"{row[f'{figure} measured']:.3f} → {row[f'{figure} simulated']:.3f} s"


def test_the_ranking_of_policies_is_shown_as_the_command_prints_it():
    found = policy_ranking.ranking(policy_ranking.table()).scenarios.set_index("scenario")
    shown = {
        re.sub(", (one GPU|four GPUs)$", "", load): cells for load, cells in table("| load | policies | tau |").items()
    }
    assert shown.keys() == set(found.index)
    for load, (num_policies, tau, signs, resolved, best, regret) in shown.items():
        row = found.loc[load]
        assert (num_policies, tau) == (str(row["num_policies"]), f"{row['tau']:.2f}")
        assert signs == f"{row['num_agreeing']} of {row['num_pairs']}"
        num_resolved = row["num_resolved"]
        assert resolved == (f"{row['num_resolved_agreeing']} of {num_resolved}" if num_resolved else "none resolved")
        assert regret == f"{100 * row['regret']:.0f}%"
        measured_best = row["best"].removeprefix("stage-priority ")
        assert best == (row["best"] if row["chosen"] == row["best"] else f"{row['chosen']}, {measured_best}")
