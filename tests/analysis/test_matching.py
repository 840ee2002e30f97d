"""Calls of two runs are paired one to one; whatever has no partner is counted and named."""

import pandas as pd
import pytest

from analysis.comparison.matching import match_calls


def test_calls_are_paired_by_application_and_name_whatever_their_order(calls):
    matched = match_calls(calls, calls[::-1].reset_index(drop=True))
    pd.testing.assert_frame_equal(matched.simulated, matched.measured)
    assert matched.counts()["num_matched"] == 3
    assert matched.remarks() == []


def test_missing_extra_and_failed_calls_are_counted_and_named(calls):
    simulated = calls.assign(status=["ok", "unfinished", "ok"])
    other = calls.iloc[:1].assign(call="map9")
    measured = pd.concat([calls.iloc[:2], other])
    matched = match_calls(simulated, measured)
    assert list(matched.simulated["call"]) == ["map0"]
    assert matched.unmatched.set_index("call")["why"].to_dict() == {
        "reduce": "missing",
        "map9": "extra",
        "map1": "failed_simulated",
    }
    assert "1 call only in the measured run: a/map9" in matched.remarks()


def test_calls_of_other_lengths_are_compared_and_counted(calls):
    longer = calls.assign(num_output_tokens=calls["num_output_tokens"] + [0, 1, 0])
    assert match_calls(calls, longer).counts()["num_of_other_length"] == 1


def test_a_call_that_is_there_twice_is_refused(calls):
    with pytest.raises(ValueError, match=r"measured run: call a/map0 has more than one row"):
        match_calls(calls, pd.concat([calls, calls.iloc[:1]]))


def test_runs_of_different_workloads_are_refused(calls):
    with pytest.raises(ValueError, match="no finished call in common"):
        match_calls(calls, calls.assign(app="b"))
