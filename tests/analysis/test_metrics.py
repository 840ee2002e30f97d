"""Metrics of calls and runs, against numbers worked out by hand from the records in conftest.py."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import metrics


def test_ttft_counts_from_submission_and_includes_the_hold_time(calls):
    assert list(metrics.ttft(calls)) == [0.25, 1.75, 0.75]
    assert list(metrics.hold_time(calls)) == [0.0, 1.0, 0.0]
    assert list(metrics.queue_time(calls)) == [0.0, 0.25, 0.0]


def test_tpot_is_undefined_for_a_single_output_token(calls):
    values = metrics.tpot(calls)
    assert list(values[:2]) == [0.1, 0.5]
    assert np.isnan(values[2])


@given(
    first_gap=st.floats(0.001, 100),
    gap=st.floats(0.001, 1),
    num_output_tokens=st.integers(2, 10_000),
    submitted_at=st.floats(0, 1e4),
)
def test_e2e_is_ttft_plus_tpot_times_the_tokens_after_the_first(first_gap, gap, num_output_tokens, submitted_at):
    first_token_at = submitted_at + first_gap
    finished_at = first_token_at + gap * (num_output_tokens - 1)
    call = pd.DataFrame([locals()])
    expected = metrics.ttft(call) + metrics.tpot(call) * (num_output_tokens - 1)
    # 1e-9 s: instants of 1e4 s carry 2e-12 s of rounding each.
    assert metrics.e2e(call)[0] == pytest.approx(expected[0], abs=1e-9)


def test_e2e_of_a_single_token_is_its_ttft(calls):
    assert metrics.e2e(calls)[2] == metrics.ttft(calls)[2] == 0.75


def test_jct_runs_from_the_arrival_so_network_time_counts(calls):
    assert metrics.jct(calls).to_dict() == {"a": 5.0}


def test_makespan_runs_from_the_first_arrival_to_the_last_finish(calls):
    later = calls.assign(app="b", app_arrived_at=4.0, finished_at=9.0)
    assert metrics.makespan(pd.concat([calls, later])) == 8.0


def test_throughput_is_per_second_of_makespan(calls):
    assert metrics.output_token_throughput(calls) == pytest.approx(17 / 5)
    assert metrics.call_throughput(calls) == pytest.approx(3 / 5)


def test_cache_hit_share_weighs_calls_by_their_prompt(calls):
    assert metrics.cache_hit_share(calls) == pytest.approx(60 / 300)


def test_a_failed_call_is_counted_and_enters_no_average(calls):
    calls.loc[1, "status"] = "prompt too long"
    assert metrics.num_failed(calls) == 1
    assert list(metrics.call_metrics(calls)["call"]) == ["map0", "reduce"]
    assert metrics.output_token_throughput(calls) == pytest.approx(12 / 5)


def test_an_application_with_a_failed_call_has_no_jct(calls):
    calls.loc[1, "status"] = "prompt too long"
    assert metrics.jct(calls).empty


def test_preemptions_of_failed_calls_still_count(calls):
    calls.loc[1, "status"] = "aborted"
    assert metrics.num_preemptions(calls) == 1


def test_what_an_engine_did_not_tell_is_not_counted(calls):
    unknown = calls.assign(num_preemptions=[-1, 2, -1], num_cached_tokens=[-1, 10, -1], num_prompt_tokens=20)
    assert metrics.num_preemptions(unknown) == 2
    assert metrics.cache_hit_share(unknown) == 0.5
