"""`dovetail reproduce`: published and measured figures beside the closed form and the simulation."""

from __future__ import annotations

from pathlib import Path

import click

_csv = click.option("--csv", type=click.Path(path_type=Path), metavar="FILE", help="Write the rows to a new CSV file.")


@click.group()
def reproduce() -> None:
    """Reproduce published and measured figures."""


@reproduce.command()
@_csv
def notes(csv: Path | None) -> None:
    """Every row of every system in the benchmark notes, the log, and the six-second puzzle."""
    from dovetail.output import console, new_csv
    from reproduce.notes import rows
    from reproduce.report import print_notes

    with new_csv(csv) as write:
        found = rows()
        write(found)
    print_notes(console(), found)


@reproduce.command()
@_csv
def measured(csv: Path | None) -> None:
    """Five load shapes measured on one H100 with vLLM, beside their simulation."""
    from dovetail.output import console, new_csv
    from reproduce.measured import rows
    from reproduce.report import print_measured

    with new_csv(csv) as write:
        found = rows()
        write(found)
    print_measured(console(), found)


@reproduce.command()
@_csv
def schedules(csv: Path | None) -> None:
    """Steps and preemptions on one H100, of the native engine and of vLLM's own scheduler. Needs vLLM."""
    from dovetail.output import console, new_csv
    from reproduce.schedules import print_schedules, rows

    with new_csv(csv) as write:
        found = rows()
        write(found)
    print_schedules(console(), found)


@reproduce.command()
@_csv
@click.option("--summary", is_flag=True, help="Print the errors by figure alone, not each point.")
def parrot(csv: Path | None, summary: bool) -> None:
    """Every published point of figures 11 to 16 of the Parrot paper, with the errors by figure."""
    from dovetail.output import console, new_csv
    from reproduce.parrot import rows
    from reproduce.report import print_parrot

    with new_csv(csv) as write:
        found = rows()
        write(found)
    print_parrot(console(), found, every_point=not summary)
