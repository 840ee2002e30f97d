"""The error of a JCT splits along the critical paths into parts that add up to it, to the nanosecond."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.comparison.critical_path import PART_NAMES, jct_parts
from analysis.comparison.matching import match_calls
from analysis.comparison.split import error_split, split_summary
from traces.records import CALL_COLUMNS

SECOND = 1_000_000_000


def call_row(**values):
    """One completed call, all instants 0, with the given columns replaced."""
    row = dict.fromkeys(CALL_COLUMNS, 0.0) | {"app": "a", "call": "c", "stage": "s", "engine": 0, "status": "ok"}
    counts = ("num_prompt_tokens", "num_output_tokens", "num_cached_tokens", "num_preemptions")
    return row | dict.fromkeys(counts, 1) | values


def chained(calls):
    """The fixture's calls, with the instants at which they were ready: the reduce when the second map was done."""
    return calls.assign(ready_at=[1.0, 1.0, 5.0], app_code=0)


def test_the_parts_follow_the_call_that_finished_last(calls):
    """By hand, of map1 and reduce: client 0.25 + 0.25, hold 1, queue 0.25, prefill 0.5 + 0.75, decode 2 + 0."""
    parts = jct_parts(chained(calls)).iloc[0]
    expected = {"jct": 5.0, "client": 0.5, "hold": 1.0, "queue": 0.25, "prefill": 1.25, "decode": 2.0}
    assert {name: parts[name] / SECOND for name in expected} == expected
    assert parts["num_calls"] == 2


def test_the_split_says_which_part_of_the_measured_run_took_longer(calls):
    simulated = chained(calls).drop(columns="app_code")
    later = {name: simulated[name] + [0.0, 0.0, 0.5] for name in ("scheduled_at", "first_token_at", "finished_at")}
    split = error_split(match_calls(simulated, simulated.assign(**later))).iloc[0]
    assert split["queue"] == split["error"] == -SECOND // 2
    assert split["same_path"]


def test_another_last_map_is_another_path(calls):
    simulated = chained(calls).drop(columns="app_code")
    measured = simulated.copy()
    measured.loc[0, ["first_token_at", "finished_at"]] = [4.0, 5.25]
    measured.loc[2, "ready_at"] = 5.25
    split = error_split(match_calls(simulated, measured)).iloc[0]
    assert not split["same_path"]
    assert split["error"] == split[list(PART_NAMES)].sum() == 0


def test_an_application_with_a_call_that_did_not_finish_has_no_split(calls):
    measured = chained(calls).drop(columns="app_code").assign(status=["ok", "ok", "lost"])
    assert error_split(match_calls(calls, measured)).empty


def test_without_first_steps_the_queue_counts_as_prefill_in_both_runs(calls):
    simulated = chained(calls).drop(columns="app_code")
    split = error_split(match_calls(simulated, simulated.assign(scheduled_at=np.nan)))
    assert (split[[*PART_NAMES, "error"]] == 0).all(axis=None)


def test_an_undefined_instant_of_a_finished_call_is_refused(calls):
    with pytest.raises(ValueError, match="call a/map1: dispatched_at is undefined"):
        error_split(match_calls(calls, calls.assign(dispatched_at=[1.25, np.nan, 5.25])))


def test_a_long_chain_is_summed_to_its_root():
    """A thousand calls of three seconds, one after the other: one of them waiting, one prefill, one decode."""
    rows = []
    for index in range(1000):
        at = 3.0 * index
        times = {"ready_at": at, "submitted_at": at, "dispatched_at": at + 1, "scheduled_at": at + 1}
        rows.append(call_row(call=f"c{index}", **times, first_token_at=at + 2, finished_at=at + 3))
    parts = jct_parts(pd.DataFrame(rows, columns=CALL_COLUMNS).assign(app_code=0)).iloc[0]
    assert (parts["hold"], parts["prefill"], parts["decode"]) == (1000 * SECOND,) * 3
    assert parts["num_calls"] == 1000


gaps = st.floats(0.0, 1e4, allow_subnormal=False)
shapes = st.lists(st.tuples(st.integers(0, 2), st.booleans(), *[gaps] * 6), min_size=1, max_size=12)


def random_calls(shape):
    """Calls of up to three applications that wait for their application's last finish so far, or for nothing."""
    rows, last = [], {}
    for index, (app, waits, *durations) in enumerate(shape):
        arrived_at = 0.1 * app
        ready_at = last.get(app, arrived_at) if waits else arrived_at
        instants = ready_at + np.cumsum(durations)
        names = ("submitted_at", "dispatched_at", "scheduled_at", "first_token_at", "finished_at")
        times = dict(zip(names, instants[1:], strict=True))
        rows.append(call_row(app=str(app), call=str(index), app_arrived_at=arrived_at, ready_at=ready_at, **times))
        last[app] = max(last.get(app, 0.0), times["finished_at"])
    return pd.DataFrame(rows, columns=CALL_COLUMNS)


@given(shapes, st.floats(0.5, 2.0))
def test_the_parts_of_every_application_add_up_to_its_error_exactly(shape, factor):
    simulated = random_calls(shape)
    measured = simulated.assign(**{name: simulated[name] * factor for name in simulated if name.endswith("_at")})
    split = error_split(match_calls(simulated, measured))
    assert (split[list(PART_NAMES)].sum(axis=1) == split["error"]).all()
    assert (split["jct_simulated"] - split["jct_measured"] == split["error"]).all()
    assert len(split) == simulated["app"].nunique()


def test_the_mean_parts_add_up_to_the_mean_error(calls):
    simulated = chained(calls).drop(columns="app_code")
    measured = simulated.assign(finished_at=simulated["finished_at"] + 0.25, ready_at=[1.0, 1.0, 5.25])
    summary = split_summary(error_split(match_calls(simulated, measured))).set_index("part")["error"]
    assert summary["JCT"] == pytest.approx(-0.25)
    assert summary.drop("JCT").sum() == pytest.approx(summary["JCT"])
