"""Chrome trace files keep to the rules of their format, and show what the records hold."""

import gzip
import json
from collections import Counter, defaultdict

import pandas as pd
import pytest

from analysis.chrome_trace import trace_events, write_trace
from traces.records import DECISION_COLUMNS, STEP_COLUMNS, RunRecords

#: Fields that each kind of event must have, by the format's specification.
REQUIRED = {
    "M": {"pid", "name", "args"},
    "X": {"pid", "tid", "ts", "dur", "name"},
    "C": {"pid", "ts", "name", "args"},
    "i": {"pid", "tid", "ts", "s", "name"},
    "b": {"pid", "ts", "cat", "id", "name"},
    "e": {"pid", "ts", "cat", "id", "name"},
}


@pytest.fixture
def records(calls, steps):
    decisions = pd.DataFrame([(1.25, "route", "a", "map0", 0, "dispatch")], columns=DECISION_COLUMNS)
    overlapping = pd.DataFrame([dict.fromkeys(STEP_COLUMNS, 1) | {"started_at": 4.75, "finished_at": 5.5, "engine": 0}])
    return RunRecords({}, calls, pd.concat([steps, overlapping]), decisions)


@pytest.fixture
def events(records):
    return list(trace_events({"simulated": records, "measured": records}))


def test_every_event_has_the_fields_that_its_kind_needs(events):
    assert {event["ph"] for event in events} == set(REQUIRED)
    for event in events:
        assert REQUIRED[event["ph"]] <= set(event), event
        assert event.get("ts", 0) >= 0
        assert event.get("dur", 0) >= 0


def test_asynchronous_slices_open_and_close_in_order_and_nest(events):
    open_slices = defaultdict(list)
    for event in events:
        if event["ph"] == "b":
            open_slices[event["id"]].append(event)
        elif event["ph"] == "e":
            begun = open_slices[event["id"]].pop()
            assert begun["name"] == event["name"]
            assert begun["ts"] <= event["ts"]
    assert not any(open_slices.values())


def test_steps_of_one_track_never_overlap(events):
    ends = {}
    for event in events:
        if event["ph"] == "X":
            track = event["pid"], event["tid"]
            assert event["ts"] >= ends.get(track, 0.0)
            ends[track] = event["ts"] + event["dur"]


def test_both_runs_have_processes_of_their_own_on_one_time_axis(events):
    names = {event["args"]["name"]: event["pid"] for event in events if event["name"] == "process_name"}
    assert sorted(names) == [
        f"{run}: {part}" for run in ("measured", "simulated") for part in ("coordinator", "engine 0")
    ]
    assert len(set(names.values())) == 4
    first = {pid: min(e["ts"] for e in events if e["pid"] == pid and "ts" in e) for pid in names.values()}
    assert first[names["simulated: engine 0"]] == first[names["measured: engine 0"]] == 1.25e6


def test_calls_steps_and_decisions_are_all_there(events):
    kinds = Counter(
        event["cat"] for event in events if (event["ph"] in "Xib" and "/" in event["name"]) or event["ph"] == "X"
    )
    assert kinds == {"call": 6, "step": 8, "decision": 2}


def test_a_file_is_json_compressed_where_its_name_says_so(tmp_path, events):
    for name, opened in (("t.json", open), ("t.json.gz", gzip.open)):
        assert write_trace(tmp_path / name, iter(events)) == len(events)
        with opened(tmp_path / name, "rt") as file:
            assert json.load(file)["traceEvents"] == events


def test_what_begins_later_can_be_left_out(records):
    names = {event["name"] for event in trace_events({"run": records}, until=1.5)}
    assert "a/map0" in names
    assert "a/reduce" not in names


def test_a_call_that_never_finished_shows_how_far_it_came(records):
    calls = records.calls.assign(finished_at=float("nan"), first_token_at=float("nan"))
    events = list(trace_events({"run": RunRecords({}, calls, records.steps, records.decisions)}))
    phases = {event["name"] for event in events if event["ph"] == "b"}
    assert {"hold", "queue"} <= phases
    assert not {"prefill", "decode"} & phases
