"""What a terminal shows while real engines run: calls done, each engine's load and speed, and what went wrong.

It only reads, from a thread of its own, and costs the run a few milliseconds of every second.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from realexec.progress import RunInProgress
from traces.wording import counted

#: Over which the speed of an engine is taken, seconds.
_SPEED_SPAN = 4.0

_REFRESHES_PER_SECOND = 4

#: Latest faults that are shown.
_NUM_FAULTS = 3


@contextmanager
def live_view(num_calls: int, num_engines: int) -> Iterator[Callable[[RunInProgress], None] | None]:
    """Show a run on standard error; what it yields is to be told of the run once its engines are up.

    Yields None, and shows nothing, when standard error is not a terminal.
    """
    from rich.live import Live

    if not Console(stderr=True).is_terminal:
        yield None
        return
    # A copy of the descriptor: while engines start, their output, standard error, goes to their logs.
    with os.fdopen(os.dup(2), "w") as terminal:
        console = Console(file=terminal)
        view = RunView(num_calls, num_engines)
        with Live(view, console=console, refresh_per_second=_REFRESHES_PER_SECOND, transient=True):
            yield view.begin


class RunView:
    """The picture of a run, drawn anew whenever it is rendered.

    Parameters
    ----------
    num_calls, num_engines : int
    clock : callable
        Seconds; for tests.
    """

    def __init__(self, num_calls: int, num_engines: int, clock: Callable[[], float] = time.monotonic) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, get_time=clock)
        self._task = self._bar.add_task(f"starting {counted(num_engines, 'engine')}", total=num_calls)
        self._speeds = [Speed() for _ in range(num_engines)]
        self._clock = clock
        self._run: RunInProgress | None = None

    def begin(self, run: RunInProgress) -> None:
        """The engines are up: count the time from here."""
        self._run = run
        self._bar.reset(self._task, description="calls", total=run.num_calls)

    def __rich__(self) -> RenderableType:
        if self._run is None:
            return self._bar
        self._bar.update(self._task, completed=self._run.num_ended)
        faults = self._run.faults[-_NUM_FAULTS:]
        lines = [Text(f"{fault.at:8.1f} s  {fault.kind}: {fault.reason}", style="red") for fault in faults]
        return Group(self._bar, self._engines(self._run), *lines)

    def _engines(self, run: RunInProgress) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("engine", justify="right")
        table.add_column("device", overflow="ellipsis", no_wrap=True)
        for title in ("running", "waiting", "tokens/s", "finished"):
            table.add_column(title, justify="right")
        table.add_column("state")
        now = self._clock()
        for engine, speed in zip(run.engines(), self._speeds, strict=True):
            rate = speed.update(now, engine.progress.num_generated_tokens)
            counts = [_known(engine.progress.num_running), _known(engine.progress.num_waiting), f"{rate:,.0f}"]
            state = Text("lost", style="red") if engine.is_lost else Text("up")
            table.add_row(str(engine.engine_id), engine.device, *counts, f"{engine.num_finished:,}", state)
        return table


class Speed:
    """Growth of a count over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def update(self, now: float, count: int) -> float:
        """Take in a count; its growth a second over the last `_SPEED_SPAN` seconds."""
        self._seen.append((now, count))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _SPEED_SPAN:
            self._seen.popleft()
        since, before = self._seen[0]
        return (count - before) / (now - since) if now > since else 0.0


def _known(count: int) -> str:
    return "-" if count < 0 else f"{count:,}"
