"""Every malformed workload kept in tests/malformed/workloads is refused in one line that says what is wrong where."""

import json
from pathlib import Path

import pytest

from traces.files import load_workload

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
