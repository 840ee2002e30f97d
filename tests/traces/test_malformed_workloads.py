"""Every malformed workload kept in tests/malformed/workloads is refused in one line that says what is wrong where."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.files import load_workload, save_workload
from traces.generators.mapreduce import map_reduce

FOLDER = Path(__file__).parents[1] / "malformed" / "workloads"
EXPECTED: dict[str, list[str]] = json.loads((FOLDER / "expected.json").read_text())


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_malformed_file_is_refused_with_one_line_naming_the_fault(name):
    with pytest.raises(ValueError, match=r"must|missing|not valid|not a whole|empty") as refusal:
        load_workload(FOLDER / name)

    message = str(refusal.value)
    assert message.startswith(str(FOLDER / name) + ": ")
    assert "\n" not in message
    for fragment in EXPECTED[name]:
        assert fragment in message


def test_every_malformed_file_has_an_expected_message():
    assert {path.name for path in FOLDER.iterdir()} == {*EXPECTED, "expected.json"}


#: What a careless hand may put in the place of any value.
WRONG_VALUES = [None, -1, 0, 1.5, "x", "", [], {}, True, float("nan"), float("inf"), [{}], {"a": 1}, "\ud800"]


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything in a JSON document, itself first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def accepted_or_refused_in_one_line(path: Path) -> bool:
    try:
        load_workload(path)
    except ValueError as error:
        message = f"{type(error).__name__}: {error}"
        return message.startswith(f"ValueError: {path}: ") and "\n" not in message
    return True


@given(data=st.data())
def test_any_wrong_value_anywhere_is_refused_in_one_line_or_harmless(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("wrong") / "w.json"
    save_workload(map_reduce(2), path)
    document = json.loads(path.read_text())
    place = data.draw(st.sampled_from([place for place in places(document) if place]))
    holder = document
    for key in place[:-1]:
        holder = holder[key]

    holder[place[-1]] = data.draw(st.sampled_from(WRONG_VALUES))
    path.write_text(json.dumps(document))

    assert accepted_or_refused_in_one_line(path)


@given(position=st.integers(0, 300), byte=st.integers(0, 255))
def test_any_wrong_byte_is_refused_in_one_line_or_harmless(tmp_path_factory, position, byte):
    path = tmp_path_factory.mktemp("wrong") / "w.json"
    save_workload(map_reduce(2), path)
    content = bytearray(path.read_bytes())

    content[position] = byte
    path.write_bytes(content)

    assert accepted_or_refused_in_one_line(path)
