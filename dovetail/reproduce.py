"""`dovetail reproduce`: published figures beside the closed form and the simulation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pandas as pd


#: Of tables that go into a file.
_WIDTH = 150


@click.group()
def reproduce() -> None:
    """Reproduce published figures."""


@reproduce.command()
@click.option("--csv", type=click.Path(path_type=Path), metavar="FILE", help="Write the rows to a new CSV file, too.")
def notes(csv: Path | None) -> None:
    """Every row of every system in the benchmark notes, the log, and the six-second puzzle."""
    from dovetail.output import console, new_csv
    from reproduce import log
    from reproduce import notes as experiment

    with new_csv(csv) as write:
        rows = experiment.rows()
        write(rows)
    _print_benchmarks(rows)
    out = console(_WIDTH)
    out.print(_table(log.timeline(), "The four-GPU log"))
    print(f"calls per engine: logged 8, 8, 8, 7; simulated {', '.join(map(str, log.calls_per_engine()))}\n")
    out.print(_table(log.puzzle()[["term", "seconds", "how"]], "Why six seconds on paper took about fifteen"))


def _print_benchmarks(rows: pd.DataFrame) -> None:
    """One table a benchmark, with its remarks numbered below."""
    from dovetail.output import console

    out = console(_WIDTH)
    for benchmark, own in rows.groupby("benchmark", sort=False):
        remarks = list(dict.fromkeys(remark for remark in own["note"] if remark))
        numbered = own["note"].map(lambda note, known=remarks: str(known.index(note) + 1) if note else "")
        fitted = own["fitted?"].map({True: "yes", False: ""})
        frame = own.drop(columns="benchmark").assign(**{"fitted?": fitted, "note": numbered})
        out.print(_table(frame, str(benchmark)))
        for number, remark in enumerate(remarks, start=1):
            print(f"  {number} {remark}")
        print()


def _table(frame: pd.DataFrame, title: str) -> object:
    """Seconds with two decimals and per cent with one, by the unit in the column's name."""
    from analysis.tables import Unit, table

    decimals = {"(s)": 2, "seconds": 2, "(%)": 1}
    units = {
        name: Unit("", num_decimals=decimals[name.split()[-1]])
        for name in frame.columns
        if name.split()[-1] in decimals
    }
    return table(frame, units, title=title)
