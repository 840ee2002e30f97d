"""How an idle engine wakes, read off calls sent at once."""

import numpy as np
import pandas as pd
import pytest

from realexec.calibration.overheads import first_step_sizes, measured_waking
from realexec.calibration.raw import RawMeasurement


def raw_of(waves, *, kind="idle", asynchronous=True, num_prompt_tokens=32):
    """Waves of calls, each (instants of sending, how many were in the first step)."""
    rows = []
    for number, (sent, num_in) in enumerate(waves):
        planned = np.where(np.arange(len(sent)) < num_in, number + 0.002, number + 0.03)
        rows += [("p", number, number + at, plan) for at, plan in zip(sent, planned, strict=True)]
    calls = pd.DataFrame(rows, columns=["point", "wave", "dispatched_at", "scheduled_at"])
    calls = calls.assign(num_prompt_tokens=num_prompt_tokens, num_cached_tokens=0, asynchronous=asynchronous)
    points = pd.DataFrame({"point": ["p"], "kind": [kind]})
    return RawMeasurement({"settings": {"max_num_batched_tokens": 2048}}, points, calls, calls[:0])


FOUR = (0.0, 0.0004, 0.0006, 0.0008)


def test_the_time_to_gather_lies_between_the_last_call_in_time_and_the_next():
    waking = measured_waking(raw_of([(FOUR, 2)] * 3))
    assert (waking.first_submit_interval, waking.gather) == pytest.approx((0.0004, 0.0005))


def test_waves_that_were_in_time_as_a_whole_count_as_longer_than_they_lasted():
    pairs = [((0.0, 0.0004), 1)] * 2 + [((0.0, 0.0004), 2)] * 3
    assert measured_waking(raw_of([*pairs, (FOUR, 3)])).gather == pytest.approx(0.0007)


def test_where_most_waves_were_in_time_the_longest_of_them_is_taken():
    assert measured_waking(raw_of([((0.0, 0.0004), 2), (FOUR, 4)])).gather == pytest.approx(0.0008)


def test_a_full_first_step_does_not_say_that_the_others_came_late():
    waves = [(FOUR, 2)] * 3 + [(FOUR, 3)]
    assert measured_waking(raw_of(waves, num_prompt_tokens=1000)).gather == pytest.approx(0.0005)
    assert measured_waking(raw_of(waves, num_prompt_tokens=1024)).gather == pytest.approx(0.0006)


def test_first_steps_are_counted_wave_by_wave():
    assert first_step_sizes(raw_of([(FOUR, 2), (FOUR, 4), ((0.0,), 1)])) == [2, 4]


def test_points_that_were_made_for_something_else_are_not_asked():
    assert measured_waking(raw_of([(FOUR, 2)], kind="decode")) is None
