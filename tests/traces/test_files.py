"""Workload files: what is written is what is read."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.files import load_workload, save_workload, workload_hash
from traces.generators.mapreduce import map_reduce
from traces.workload import Application, Call, Segment, Workload, output_of, text

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
counts = st.integers(1, 10**6)
seconds = st.floats(0, 1e9, allow_nan=False)


@st.composite
def applications(draw: st.DrawFn, app_id: str) -> Application:
    """Any directed acyclic graph of up to five calls; a call may quote those it depends on."""
    calls: list[Call] = []
    for call_id in draw(st.lists(names, min_size=1, max_size=5, unique=True)):
        earlier = [call.id for call in calls]
        deps = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        texts: list[Segment] = draw(st.lists(st.builds(text, names, counts), min_size=1, max_size=3))
        quotes = [output_of(dep) for dep in deps if draw(st.booleans())]
        calls.append(
            Call(
                call_id,
                (*texts, *quotes),
                draw(counts),
                stage=draw(names),
                deps=tuple(deps),
                delay=draw(seconds),
                predicted_output_tokens=draw(st.none() | counts),
                deadline=draw(st.none() | st.floats(0.001, 1e6)),
                priority=draw(st.integers(-5, 5)),
            )
        )
    return Application(app_id, draw(seconds), tuple(calls))


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    ids = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    return Workload(draw(names), tuple(draw(applications(app_id)) for app_id in ids))


@given(workload=workloads(), suffix=st.sampled_from([".json", ".json.gz"]))
def test_a_loaded_workload_equals_the_saved_one(tmp_path_factory, workload, suffix):
    path = tmp_path_factory.mktemp("files") / f"w{suffix}"

    save_workload(workload, path)

    assert load_workload(path) == workload
    assert workload_hash(load_workload(path)) == workload_hash(workload)


@given(workload=workloads(), suffix=st.sampled_from([".jsonl", ".jsonl.gz"]))
def test_lines_keep_the_applications_and_the_file_gives_the_name(tmp_path_factory, workload, suffix):
    path = tmp_path_factory.mktemp("files") / f"trace.v2{suffix}"

    save_workload(workload, path)

    assert load_workload(path) == Workload("trace.v2", workload.applications)


def test_equal_workloads_give_equal_gzip_files(tmp_path):
    for name in ("first.json.gz", "second.json.gz"):
        save_workload(map_reduce(3), tmp_path / name)

    assert (tmp_path / "first.json.gz").read_bytes() == (tmp_path / "second.json.gz").read_bytes()


def test_hash_does_not_depend_on_whether_seconds_were_typed_as_integers():
    call = Call("c", (text("t", 1),), 1)

    whole, floating = (Workload("w", (Application("a", arrival, (call,)),)) for arrival in (2, 2.0))

    assert workload_hash(whole) == workload_hash(floating)


def test_hash_tells_apart_workloads_that_differ_in_one_count():
    assert workload_hash(map_reduce(3, output_tokens=50)) != workload_hash(map_reduce(3, output_tokens=51))


def test_example_of_the_format_is_read_as_written(tmp_path):
    path = tmp_path / "w.json"
    path.write_text(
        '{"name": "w", "applications": [{"id": "m0", "arrival": 0, "calls": ['
        '{"id": "map0", "stage": "map", "deps": [], "delay": 0.0,'
        ' "prompt": [{"segment": "chunk-0", "tokens": 1000}], "output_tokens": 50},'
        '{"id": "reduce", "deps": ["map0"], "prompt": [{"output_of": "map0"}], "output_tokens": 50}]}]}'
    )

    application = load_workload(path).applications[0]

    assert application.calls[0].prompt == (text("chunk-0", 1000),)
    assert application.calls[1].prompt == (output_of("map0"),)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.json: cannot be read: No such file"):
        load_workload(tmp_path / "nowhere.json")


def test_a_folder_is_refused_as_unreadable(tmp_path):
    (tmp_path / "w.json").mkdir()
    with pytest.raises(ValueError, match=r"w\.json: cannot be read: Is a directory"):
        load_workload(tmp_path / "w.json")


def test_an_invalid_workload_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="applications"):
        save_workload(Workload("w", ()), tmp_path / "w.json")
    assert not (tmp_path / "w.json").exists()


def test_blank_lines_between_applications_are_skipped(tmp_path):
    path = tmp_path / "w.jsonl.gz"
    save_workload(map_reduce(2, arrivals=None), path)
    path.write_bytes(gzip.compress(b"\n" + gzip.decompress(path.read_bytes()) + b"\n\n"))

    assert len(load_workload(path).applications) == 1
