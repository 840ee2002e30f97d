"""How many of the calls sent at once an idle engine takes into its first step."""

import numpy as np
import pandas as pd

from realexec.calibration.overheads import first_step_sizes
from realexec.calibration.raw import RawMeasurement


def raw_of(waves, *, kind="idle"):
    """Waves of calls sent 0.2 ms apart, each (calls, how many of them were in the first step)."""
    rows = []
    for number, (num_calls, num_in) in enumerate(waves):
        planned = np.where(np.arange(num_calls) < num_in, number + 0.002, number + 0.03)
        rows += [("p", number, number + 2e-4 * index, plan) for index, plan in enumerate(planned)]
    calls = pd.DataFrame(rows, columns=["point", "wave", "dispatched_at", "scheduled_at"]).assign(asynchronous=True)
    return RawMeasurement({}, pd.DataFrame({"point": ["p"], "kind": [kind]}), calls, calls[:0])


def test_first_steps_are_counted_wave_by_wave():
    assert first_step_sizes(raw_of([(4, 2), (4, 4), (1, 1)])) == [2, 4]


def test_points_that_were_made_for_something_else_are_not_counted():
    assert first_step_sizes(raw_of([(4, 2)], kind="decode")) == []
