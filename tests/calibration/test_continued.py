"""A calibration goes on where it stopped: sessions are joined, and only what is missing is measured."""

import asyncio
from dataclasses import replace

import pandas as pd
import pytest

from realexec.calibration.continued import extended
from realexec.calibration.raw import RawMeasurement, read_raw, write_raw
from realexec.calibration.replay import replayed
from realexec.calibration.session import Session, Setup
from realexec.fake import FakeEngine
from realexec.interface import EngineRecords
from sim.profile import load_profile
from traces.records import STEP_COLUMNS


def part(raw, names, **engine):
    """The points of these names."""
    points = raw.points[raw.points.point.isin(names)]
    steps = pd.concat(
        [raw.steps[raw.steps.started_at.between(p.started_at, p.finished_at)] for p in points.itertuples()]
    )
    return RawMeasurement(raw.engine | engine, points, raw.calls[raw.calls.point.isin(names)], steps)


@pytest.fixture(scope="module")
def sessions(raw):
    """Two sessions whose clocks overlap: the later one began five seconds before the end of the earlier one."""
    earlier = part(raw, raw.points.point[:10], seconds=100.0, date="2026-01-02", num_skipped_points=9)
    later = part(raw, raw.points.point[10:], seconds=30.0, date="2026-01-01", num_skipped_points=2)
    delay = later.points.started_at.min() - earlier.points.finished_at.max() + 5.0
    points, steps = (frame.copy() for frame in (later.points, later.steps))
    calls = later.calls.reset_index(drop=True)
    for frame in (points, steps):
        frame[["started_at", "finished_at"]] -= delay
    calls[["dispatched_at", "scheduled_at", "first_token_at", "finished_at"]] -= delay
    calls.loc[3, "first_token_at"] = -1.0
    return earlier, RawMeasurement(later.engine, points, calls, steps)


def test_joined_sessions_replay_as_each_alone(sessions):
    joined, broken = replayed(extended(*sessions))
    assert broken == []
    alone = [step for each in sessions for step in replayed(each)[0]]
    assert [step._replace(seconds=0) for step in joined] == [step._replace(seconds=0) for step in alone]
    assert [step.seconds for step in joined] == pytest.approx([step.seconds for step in alone], abs=1e-9)


def test_the_later_session_begins_after_the_earlier_one(sessions):
    earlier, later = sessions
    joined, number = extended(earlier, later), len(earlier.points)
    assert later.points.started_at.min() < earlier.points.finished_at.max()
    assert joined.points.started_at[number:].min() > joined.points.finished_at[:number].max()
    assert (joined.calls.first_token_at == -1.0).sum() == 1


def test_seconds_add_up_and_what_is_still_missing_is_kept(sessions):
    engine = extended(*sessions).engine
    assert (engine["seconds"], engine["date"], engine["num_skipped_points"]) == (130.0, "2026-01-02", 2)
    assert [session["seconds"] for session in engine["sessions"]] == [100.0, 30.0]


def test_a_joined_measurement_is_extended_again(raw):
    names = raw.points.point
    first, second, third = (part(raw, each, seconds=9.0) for each in (names[:5], names[5:10], names[10:]))
    joined = extended(extended(first, second), third)
    assert [session["seconds"] for session in joined.engine["sessions"]] == [9.0, 9.0, 9.0]
    assert len(replayed(joined)[0]) == len(replayed(raw)[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_num_seqs": 128}, "max_num_seqs=128 of this engine must be 256"),
        ({"versions": {"vllm": "0.25.0"}}, "version of vllm='0.25.0' of this engine must be '0.24.0'"),
        ({"settings": {"max_num_batched_tokens": 4096}}, "max_num_batched_tokens=4096 of this engine must be 2048"),
    ],
)
def test_another_engine_is_refused_with_both_values(sessions, change, message):
    earlier, later = sessions
    earlier = replace(earlier, engine=earlier.engine | {"settings": {"max_num_batched_tokens": 2048}})
    later = replace(later, engine=earlier.engine | change)
    with pytest.raises(ValueError, match=message):
        extended(earlier, later)


def test_a_point_of_both_sessions_is_refused(sessions):
    with pytest.raises(ValueError, match="measured in both"):
        extended(sessions[0], sessions[0])


class Engine(FakeEngine):
    """With what a calibration asks of an engine beyond the others."""

    async def start(self):
        return replace(await super().start(), settings={"max_num_batched_tokens": 2048})

    def records(self):
        return EngineRecords(pd.DataFrame([dict.fromkeys(STEP_COLUMNS, 0.0)]), super().records().requests)


def measured(folder, earlier=None, **limits):
    """What a session keeps, and the folders of its engines."""
    kept, folders = [], []

    def make_engine(async_scheduling, engine_folder):
        engine_folder.mkdir(parents=True)
        folders.append(engine_folder.name)
        return Engine(0, **limits)

    cost = load_profile("h100-llama-13b").step_cost(async_scheduling=True)
    setup = Setup(make_engine, cost, folder, budget=3600.0, vocab_size=32000, small=True, earlier=earlier)
    session = Session(setup, lambda text, left: None, kept.append)
    asyncio.run(session.run())
    return kept, folders, session


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    kept, _, session = measured(folder)
    write_raw(folder, kept[-1], session.plan)
    return folder


def without(raw, chosen):
    rows = raw.points[~chosen]
    keys = set(zip(rows.point, rows.asynchronous, strict=True))
    is_kept = [key in keys for key in zip(raw.calls.point, raw.calls.asynchronous, strict=True)]
    return replace(raw, points=rows, calls=raw.calls[is_kept])


def test_only_missing_points_are_measured_by_a_new_engine_of_their_scheduling(whole):
    raw = read_raw(whole)
    earlier = without(raw, raw.points.asynchronous & raw.points.point.str.contains("2048|burst"))
    kept, folders, session = measured(whole, earlier)
    assert folders == ["asynchronous-2"]
    assert len(earlier.points) < len(kept[-1].points) == len(raw.points) == len(session.plan)
    assert set(zip(kept[-1].points.point, kept[-1].points.asynchronous, strict=True)) == {
        (point.point, point.asynchronous) for point in raw.points.itertuples()
    }
    assert kept[-1].engine["num_skipped_points"] == 0


def test_no_engine_starts_where_nothing_is_missing(whole):
    assert measured(whole, read_raw(whole))[:2] == ([], [])


def test_an_engine_of_another_kind_keeps_nothing(whole, tmp_path):
    raw = read_raw(whole)
    with pytest.raises(ValueError, match="max_num_seqs=64 of this engine must be 256"):
        measured(tmp_path, without(raw, raw.points.asynchronous), max_num_seqs=64)


def test_points_of_another_plan_are_not_continued(whole, tmp_path):
    raw = read_raw(whole)
    raw.points.loc[0, "point"] = "decode context 7"
    with pytest.raises(ValueError, match=r"'decode context 7' .* is not in this plan"):
        measured(tmp_path, raw)
