"""The live view of a run on real engines: what it shows, and that it shows nothing where nobody looks."""

from io import StringIO
from types import SimpleNamespace

import pytest
from rich.console import Console

from dovetail.live import RunView, Speed, live_view
from realexec.attempts import Fault
from realexec.interface import EngineProgress
from realexec.progress import EngineInProgress


def shown(view: RunView) -> str:
    console = Console(file=StringIO(), width=100)
    console.print(view)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_before_the_engines_are_up_it_says_what_it_waits_for() -> None:
    assert "starting 3 engines" in shown(RunView(10, 3))


def test_it_shows_every_engine_and_the_latest_faults() -> None:
    engines = [
        EngineInProgress(0, "NVIDIA H100", EngineProgress(0.0, 7, 5, 1000), 1234, False),
        EngineInProgress(1, "NVIDIA H100", EngineProgress(), 0, True),
    ]
    faults = [Fault(float(at), "engine lost", f"reason {at}", engine=1) for at in range(5)]
    view = RunView(2000, 2)
    view.begin(SimpleNamespace(num_calls=2000, num_ended=1234, faults=faults, engines=lambda: engines))  # type: ignore[arg-type]
    text = shown(view)
    assert "1234/2000" in text
    assert "0  NVIDIA H100        7        5         0     1,234  up" in text
    assert "1  NVIDIA H100        -        -         0         0  lost" in text
    assert [f"reason {at}" in text for at in range(5)] == [False, False, True, True, True]


def test_speed_is_taken_over_the_last_seconds() -> None:
    speed = Speed()
    rates = [speed.update(float(at), count) for at, count in enumerate((0, 100, 200, 300, 400, 400, 400, 400, 400))]
    assert rates[:5] == [0.0, 100.0, 100.0, 100.0, 100.0]
    assert rates[-1] == 0.0


def test_nothing_is_shown_where_standard_error_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with live_view(10, 1) as begin:
        assert begin is None
    assert capfd.readouterr().err == ""
