"""The table of measured runs beside their simulation (how close they must be: tests/sim/test_measured.py)."""

import pytest

from reproduce.measured import rows
from reproduce.run_figures import mean_absolute_errors


def test_each_scenario_has_one_row_with_both_figures_and_their_error() -> None:
    found = rows().set_index("run")
    assert list(found.index) == ["chain_lat0", "mr15_w2", "burst128", "poisson_r5", "chat24"]
    burst = found.loc["burst128"]
    assert burst["preemptions measured"] == "18/18"
    assert burst["preemptions simulated"] == 18
    ratio = burst["makespan (s) simulated"] / burst["makespan (s) measured"]
    assert burst["makespan (s) error (%)"] == pytest.approx(100 * (ratio - 1))
    assert list(found.index[~found["steps in fit"]]) == ["poisson_r5", "chat24"]


def test_the_profile_that_no_run_contributed_to_meets_the_goals_for_makespan_and_ttft() -> None:
    """Goals: 1% and 5%. It misses 1.5% for the mean and 3% for the p99 E2E latency (docs/reproduction.md)."""
    found = rows("h100-llama-13b-from-h200")
    errors = mean_absolute_errors(found).set_index("figure")["mean absolute error (%)"]
    assert not found["steps in fit"].any()
    assert errors["makespan"] < 1
    assert errors["mean TTFT"] < 5
    assert list(found["preemptions simulated"]) == [0, 0, 18, 0, 0]


def test_the_shipped_profile_meets_all_goals() -> None:
    errors = mean_absolute_errors(rows()).set_index("figure")["mean absolute error (%)"]
    assert (errors[["makespan", "mean E2E", "p99 E2E", "mean TTFT"]] < [1.0, 1.5, 3.0, 5.0]).all()
