"""The file that `dovetail suite` reads: a name for every run, and what would stand behind `dovetail simulate` for it.

map-reduce-w2: workloads/map-reduce.json --window 2
chat: workloads/chat.json --engines 2 --policy prefix-affinity --repeats 3
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from dovetail.options import (
    engines_option,
    gateway_options,
    limit_options,
    order_option,
    policy_options,
    workload_argument,
)


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """One run of a suite.

    Parameters
    ----------
    name : str
        Becomes a folder.
    line : str
        As written.
    workload : Path
    repeats : int
        How often real engines run it; a simulation would not differ and runs it once.
    options : dict
        Parsed, as the commands share them (`dovetail.options`).
    """

    name: str
    line: str
    workload: Path
    repeats: int
    options: dict[str, Any]


@click.command(add_help_option=False)
@workload_argument
@click.option("--repeats", type=click.IntRange(1), default=1)
@policy_options
@engines_option
@order_option
@gateway_options
@limit_options
def _line(**options: Any) -> None:
    """What a line of the file may hold."""


def load_suite(path: Path) -> list[SuiteRun]:
    """Read a suite; workload files are found relative to it.

    Raises
    ------
    ValueError
        One line: file, run, and the rule that is broken.
    """
    try:
        lines = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(lines, dict) or not lines.keys() - {"defaults"}:
        raise ValueError(f"{path}: must be lines of 'name: WORKLOAD [options]', at least one")
    defaults = str(lines.pop("defaults", ""))
    return [_run(path, name, line, defaults) for name, line in lines.items()]


def _run(path: Path, name: object, line: object, defaults: str) -> SuiteRun:
    where = f"{path}: run {name!r}"
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ValueError(f"{where}: the name becomes a folder, so it must be of letters, digits, '.', '_' and '-'")
    if not isinstance(line, str):
        raise ValueError(f"{where}: {line!r} must be a workload file and options, in one line of text")
    try:
        options = _line.make_context(name, shlex.split(f"{defaults} {line}")).params
    except (click.UsageError, ValueError) as error:
        message = error.format_message() if isinstance(error, click.UsageError) else str(error)
        raise ValueError(f"{where}: {message}") from None
    workload = path.parent / options.pop("workload")
    return SuiteRun(name, f"{defaults} {line}".strip(), workload, options.pop("repeats"), options)
