"""Where results go: run directories that are whole or not there, tables, progress."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from traces.files import require_suffix, save_workload
from traces.wording import counted
from traces.workload import Workload, num_calls


def console(plain_width: int = 120) -> Console:
    """Console for tables on standard output, `plain_width` characters wide when that is not a terminal."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=plain_width)


@contextmanager
def staged(directory: Path, *, overwrite: bool, marker: str = "manifest.json") -> Iterator[Path]:
    """A folder to write into that becomes `directory` when the block ends well, and vanishes otherwise.

    Parameters
    ----------
    directory : Path
    overwrite : bool
        Replace what is there, if it holds the file `marker`: only what this project wrote is ever deleted.
    marker : str

    Raises
    ------
    ValueError
        When something else is there, from the start or by the time the block ends; what was written then stays where
        it is, and the message says where.
    OSError
        When the place cannot be written.
    """
    _require_free(directory, overwrite, marker)
    directory.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    inner = stage / "new"  # made with the usual permissions, which a temporary folder does not have
    inner.mkdir()
    try:
        yield inner
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    try:
        _require_free(directory, overwrite, marker)
        if directory.exists():
            directory.rename(stage / "old")
        inner.rename(directory)
    except (ValueError, OSError) as error:
        raise ValueError(f"{error}; what was written is in {inner}") from error
    shutil.rmtree(stage, ignore_errors=True)


def _require_free(directory: Path, overwrite: bool, marker: str) -> None:
    if not directory.exists():
        return
    if not directory.is_dir():
        raise ValueError(f"--out {directory} must be a directory, and is a file")
    if not any(directory.iterdir()):
        return
    if not (directory / marker).exists():
        raise ValueError(f"--out {directory} is not empty and holds no {marker}; it is left as it is")
    if not overwrite:
        raise ValueError(f"--out {directory} holds an earlier run; add --overwrite to replace it")


@contextmanager
def whole_file(path: Path, *, overwrite: bool | None) -> Iterator[Path]:
    """A name to write to that becomes `path` when the block ends well, and vanishes otherwise.

    Parameters
    ----------
    path : Path
    overwrite : bool or None
        Replace a file that is there; None where a command has no such option.

    Raises
    ------
    ValueError
        When something is there that may not be replaced.
    OSError
        When the place cannot be written.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        remedy = "; add --overwrite to replace it" if path.is_file() and overwrite is False else ""
        raise ValueError(f"{path} exists already{remedy}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as stage:
        part = Path(stage) / path.name  # the same name: its ending says the format
        yield part
        part.replace(path)


@contextmanager
def new_csv(path: Path | None) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Something that writes a frame to a new file, or does nothing without one; refuses before the work is done."""
    if path is None:
        yield lambda frame: None
        return
    with whole_file(path, overwrite=None) as file:
        yield lambda frame: frame.to_csv(file, index=False)


def save(workload: Workload, options: dict[str, Any]) -> None:
    """Write a workload to the file that `--out` names and say what it holds."""
    path: Path = options["out"]
    require_suffix(path)  # before the temporary name is used, which a message should not show
    with whole_file(path, overwrite=options["overwrite"]) as file:
        save_workload(workload, file)
    num_applications, calls = len(workload.applications), num_calls(workload)
    print(f"wrote {path}: {workload.name!r}, {counted(num_applications, 'application')}, {counted(calls, 'call')}")


#: Units of figures that `print_nested` is given.
_UNITS = {"span": " s", "rate": "/s"}


def print_nested(figures: Mapping[str, object]) -> None:
    """Print figures one a line; those of a group share a line."""
    for name, value in figures.items():
        shown = "  ".join(_figure(key, each) for key, each in value.items()) if isinstance(value, dict) else value
        print(f"{name.replace('_', ' '):24}{_number(shown)}")


def _figure(name: str, value: object) -> str:
    """A figure after its name, and its unit where it has one."""
    return f"{name} {_number(value)}{_UNITS.get(name, '') if value is not None else ''}"


def _number(value: object) -> str:
    """A figure in at most four digits after the point, thousands separated; undefined ones as a dash."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)


@contextmanager
def progress(label: str, workload: Workload) -> Iterator[Callable[[int], None] | None]:
    """A progress bar over finished calls, on standard error; None when that is not a terminal."""
    terminal = Console(stderr=True)
    if not terminal.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=terminal, transient=True) as bar:
        task = bar.add_task(label, total=num_calls(workload))
        yield lambda finished: bar.update(task, completed=finished)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Inside, neither Ctrl-C nor SIGTERM stops what takes but a moment and must not be lost."""
    before = {each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Inside, SIGTERM acts as Ctrl-C does, so that a cancelled batch job keeps what it has."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
