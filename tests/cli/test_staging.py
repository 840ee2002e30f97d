"""Results take their place when they are whole, and are not lost when the place was taken meanwhile."""

import os
import signal
from pathlib import Path

import pytest

from dovetail.output import staged, uninterrupted


def test_what_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with staged(tmp_path / "run", overwrite=False) as directory:
            (directory / "manifest.json").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert list(tmp_path.iterdir()) == []


def write_late(out: Path, *, overwrite: bool) -> None:
    """A run during which another one takes its place."""
    with staged(out, overwrite=overwrite) as directory:
        (directory / "manifest.json").write_text("late")
        out.mkdir()
        (out / "manifest.json").write_text("early")


def test_a_run_that_was_written_there_meanwhile_is_replaced_on_request(tmp_path: Path) -> None:
    write_late(tmp_path / "run", overwrite=True)
    assert (tmp_path / "run/manifest.json").read_text() == "late"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_run_that_was_written_there_meanwhile_is_otherwise_left_and_the_new_one_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="what was written is in") as refused:
        write_late(tmp_path / "run", overwrite=False)
    kept = Path(str(refused.value).rpartition(" ")[2])
    assert (tmp_path / "run/manifest.json").read_text() == "early"
    assert (kept / "manifest.json").read_text() == "late"


def test_writing_is_not_stopped_by_signals() -> None:
    before = signal.getsignal(signal.SIGINT)
    with uninterrupted():
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
    assert signal.getsignal(signal.SIGINT) is before
