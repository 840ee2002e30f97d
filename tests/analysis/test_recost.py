"""Engine time is divided into schedule and cost, and each way of dividing adds up."""

import numpy as np
import pandas as pd
import pytest

from analysis.comparison.recost import price, recost, step_times
from traces.records import STEP_COLUMNS


def steps_of(rows, cost):
    """Steps back to back on engine 0, each (count, decodes, context, prefill tokens), lasting what `cost` says."""
    records, now = [], 0.0
    for number, (count, num_decodes, context, num_prefill_tokens) in enumerate(rows):
        middle = context + num_decodes * (count - 1) / 2
        end = now + count * cost(num_decodes, middle, num_prefill_tokens)
        record = dict.fromkeys(STEP_COLUMNS, 0) | {
            "step": number,
            "count": count,
            "started_at": now,
            "finished_at": end,
        }
        record |= {"num_decodes": num_decodes, "num_context_tokens": context}
        records.append(record | {"num_prefill_tokens": num_prefill_tokens, "num_prefills": int(num_prefill_tokens > 0)})
        now = end
    return pd.DataFrame(records, columns=STEP_COLUMNS)


def cost(num_decodes, context, num_prefill_tokens):
    return 0.010 + 1e-4 * num_decodes + 2e-7 * context + 5e-5 * num_prefill_tokens


def dearer(*features):
    return 1.1 * cost(*features)


def schedule(seed, num_steps=200):
    rng = np.random.default_rng(seed)
    decodes = rng.integers(1, 40, num_steps)
    return [(int(rng.integers(1, 5)), int(d), int(200 * d), int(rng.choice([0, 0, 500]))) for d in decodes]


def test_with_one_schedule_the_whole_difference_is_cost():
    rows = schedule(0)
    found = recost(steps_of(rows, cost), steps_of(rows, dearer)).table()
    assert np.allclose(found["schedule"], 0.0, atol=1e-9)
    assert np.allclose(found["cost"], found["difference"])


def test_with_one_cost_the_whole_difference_is_schedule():
    """A linear cost: the correction by the linear fit makes every price exact."""
    first, second = steps_of(schedule(0), cost), steps_of(schedule(1, 250), cost)
    found = recost(first, second).table()
    assert np.allclose(found["cost"], 0.0, atol=1e-6)
    assert (found["difference"] < -1).all()


def test_a_price_is_that_of_the_same_step_where_the_other_run_has_it_whatever_the_shape_of_the_cost():
    rows = [(1, batch, 100 * batch, 0) for batch in range(1, 30)] * 4
    times = step_times(steps_of(rows, lambda batch, *_: 0.01 + 0.003 * (batch > 16)))
    assert price(times, times)["price"].to_numpy() == pytest.approx(times["step_time"].to_numpy())


def test_steps_unlike_any_other_are_said_to_be_extrapolated():
    small, large = [(1, 1, 100, 0)] * 50, [(1, 1, 100, 0)] * 50 + [(1, 1, 100, 4000)] * 5
    found = recost(steps_of(large, cost), steps_of(small, cost))
    assert found.extrapolated_measured == 0.0
    assert 0.0 < found.extrapolated_simulated < 1.0


def test_the_times_of_overlapping_steps_add_up_to_the_time_the_engine_is_busy():
    steps = steps_of([(1, 4, 400, 0)] * 3, lambda *_: 1.0).assign(started_at=[0.0, 0.25, 1.25])
    assert step_times(steps)["step_time"].tolist() == [1.0, 1.0, 1.0]


def test_without_steps_there_is_nothing_to_price():
    steps = steps_of(schedule(0), cost)
    assert recost(steps, steps[:0]) is None
