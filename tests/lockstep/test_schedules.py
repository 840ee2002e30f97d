"""Goldens: step and preemption counts of vLLM 0.24.0 on one H100, exactly, from both engines."""

import pandas as pd
import pytest

from reproduce.schedules import rows


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return rows().set_index("load")


def test_the_overflowing_load_takes_the_measured_steps_and_preemptions(found: pd.DataFrame) -> None:
    """1,015 iterations and 9 preemptions on the card; reproduce.schedules has the source."""
    row = found.loc["48 x 1500/500"]
    assert row["steps native"] == row["steps reference"] == 1015
    assert row["preemptions native"] == row["preemptions reference"] == 9


def test_both_engines_count_the_same_steps_and_preemptions_in_every_measured_scenario(found: pd.DataFrame) -> None:
    assert (found["steps native"] == found["steps reference"]).all()
    assert (found["preemptions native"] == found["preemptions reference"]).all()


def test_a_burst_is_preempted_as_often_as_on_the_card(found: pd.DataFrame) -> None:
    assert found.loc["burst128", "preemptions measured"] == "18/18"
    assert found.loc["burst128", "preemptions reference"] == 18
