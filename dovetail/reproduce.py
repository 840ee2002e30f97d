"""`dovetail reproduce`: published and measured figures beside the closed form and the simulation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

_Command = TypeVar("_Command", bound=Callable[..., object])


@click.group()
def reproduce() -> None:
    """Reproduce published and measured figures."""


def _row_options(command: _Command) -> _Command:
    """Add ways to get the rows instead of tables."""
    command = click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON instead of tables.")(command)
    csv = click.option(
        "--csv", type=click.Path(path_type=Path), metavar="FILE", help="Write the rows to a new CSV file."
    )
    return csv(command)


def _report(
    rows: Callable[[], pd.DataFrame], show: Callable[[Console, pd.DataFrame], None], csv: Path | None, as_json: bool
) -> None:
    """Make the rows, write them where that is asked for, and print them."""
    from analysis.comparison.compare import json_rows
    from dovetail.output import console, new_csv

    with new_csv(csv) as write:
        found = rows()
        write(found)
    if as_json:
        print(json.dumps(json_rows(found), indent=2))
    else:
        show(console(), found)


@reproduce.command()
@_row_options
def notes(csv: Path | None, as_json: bool) -> None:
    """Every row of every system in the benchmark notes, the log, and the six-second puzzle."""
    from reproduce.notes import rows
    from reproduce.report import print_notes

    _report(rows, print_notes, csv, as_json)


@reproduce.command()
@_row_options
@click.option(
    "--profile",
    default="h100-llama-13b",
    show_default=True,
    help="Simulate with this one, a name or a file.",
)
def measured(csv: Path | None, as_json: bool, profile: str) -> None:
    """Five load shapes measured on one H100 with vLLM, beside their simulation."""
    from reproduce.measured import rows
    from reproduce.report import print_measured

    _report(lambda: rows(profile), lambda console, found: print_measured(console, found, profile=profile), csv, as_json)


@reproduce.command()
@_row_options
@click.option("--summary", is_flag=True, help="Print the errors by figure alone, not each run.")
@click.option(
    "--profile",
    "name",
    default="h200-llama-13b",
    show_default=True,
    help="Simulate with this one, a name or a file; the runs are those of its card, model and number of GPUs.",
)
@click.option(
    "--folder",
    default="measured_*",
    help="Only runs of this folder of reproduce/data, as those of one machine.  [default: all]",
)
def runs(csv: Path | None, as_json: bool, summary: bool, name: str, folder: str) -> None:
    """Experiments measured on H100s and H200s with vLLM, beside their simulation."""
    from reproduce.runs import print_runs, rows
    from sim.profile import load_profile

    profile = load_profile(name)
    _report(
        lambda: rows(profile, folder),
        lambda console, found: print_runs(console, found, profile, every_run=not summary),
        csv,
        as_json,
    )


@reproduce.command()
@click.option(
    "--metric", "merit", type=click.Choice(["jct", "e2e", "ttft", "makespan"]), default="jct", help="Rank by its mean."
)
@click.option("--plot", type=click.Path(path_type=Path), metavar="PNG", help="Draw it, too, with an SVG beside it.")
@_row_options
def policies(csv: Path | None, as_json: bool, merit: str, plot: Path | None) -> None:
    """Policies on one to four H200s, ranked by simulation and by measurement: tau, signs, regret."""
    from reproduce.policy_ranking import draw_ranking, print_ranking, table

    if plot is not None and plot.suffix != ".png":
        raise ValueError(f"--plot {plot} must end in .png")
    found = table(merit)
    if plot is not None:
        draw_ranking(found, plot.with_suffix(""), merit)
    _report(lambda: found, lambda console, rows: print_ranking(console, rows, merit), csv, as_json)


@reproduce.command()
@_row_options
def schedules(csv: Path | None, as_json: bool) -> None:
    """Steps and preemptions on one H100, of the native engine and of vLLM's own scheduler. Needs vLLM."""
    from reproduce.schedules import print_schedules, rows

    _report(rows, print_schedules, csv, as_json)


@reproduce.command()
@_row_options
@click.option("--summary", is_flag=True, help="Print the errors by figure alone, not each point.")
def parrot(csv: Path | None, as_json: bool, summary: bool) -> None:
    """Every published point of figures 11 to 16 of the Parrot paper, with the errors by figure."""
    from reproduce.parrot import rows
    from reproduce.report import print_parrot

    _report(rows, lambda console, found: print_parrot(console, found, every_point=not summary), csv, as_json)
