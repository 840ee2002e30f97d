"""The table of measured runs beside their simulation (how close they must be: tests/sim/test_measured.py)."""

import pytest

from reproduce.measured import rows


def test_each_scenario_has_one_row_with_both_figures_and_their_error() -> None:
    found = rows().set_index("scenario")
    assert list(found.index) == ["chain_lat0", "mr15_w2", "burst128", "poisson_r5", "chat24"]
    burst = found.loc["burst128"]
    assert burst["preemptions measured"] == "18/18"
    assert burst["preemptions simulated"] == 18
    ratio = burst["makespan (s) simulated"] / burst["makespan (s) measured"]
    assert burst["makespan (s) error (%)"] == pytest.approx(100 * (ratio - 1))
    assert list(found.index[~found["steps in fit"]]) == ["poisson_r5", "chat24"]
