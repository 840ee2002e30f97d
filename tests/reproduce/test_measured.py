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


def test_a_profile_of_calibration_points_alone_meets_the_goals_for_runs_of_another_h100() -> None:
    found = rows()
    errors = mean_absolute_errors(found).set_index("figure")["mean absolute error (%)"]
    assert (errors[["makespan", "mean E2E", "p99 E2E", "mean TTFT"]] < [1.0, 1.5, 3.0, 5.0]).all()
    assert list(found["preemptions simulated"]) == [0, 0, 18, 0, 0]
