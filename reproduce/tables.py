"""Rows as tables that an 80-column terminal shows whole: headers wrap, notes stand below as numbered footnotes."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

_SHORT = {
    "published mean (s)": "published (s)",
    "predicted in closed form (s)": "closed form (s)",
    "predicted in closed form": "closed form",
    "error of prediction (%)": "closed form error (%)",
    "error of simulation (%)": "simulation error (%)",
    "fitted?": "fitted",
}


def print_rows(console: Console, rows: pd.DataFrame, *, title: str, digits: int = 2) -> None:
    """Print a table and its footnotes.

    Parameters
    ----------
    console : rich.console.Console
    rows : pandas.DataFrame
        Texts of a column `note` are numbered and printed below; one that all rows share, without a number.
    title : str
    digits : int
        Places of floats.
    """
    if "note" not in rows:
        console.print(frame_table(rows, title=title, digits=digits))
        return
    notes = [note for note in rows["note"].unique() if note]
    if rows["note"].nunique() == 1:
        numbered, lines = rows.drop(columns="note"), notes
    else:
        numbers = {note: str(number) for number, note in enumerate(notes, start=1)}
        numbered = rows.assign(note=[numbers.get(note, "") for note in rows["note"]])
        lines = [f"{number}) {note}" for note, number in numbers.items()]
    console.print(frame_table(numbered, title=title, digits=digits))
    for line in lines:
        console.print(line, markup=False)
    console.print()


def frame_table(frame: pd.DataFrame, *, title: str, digits: int = 2) -> Table:
    """A data frame as a table.

    Floats have `digits` places; fitted rows bear a star. Columns in which no row has a value or a star are left out.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    columns = {str(name): [_cell(value, digits) for value in frame[name]] for name in frame.columns}
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    for name, cells in shown.items():
        header = _SHORT.get(name, name)
        numeric = pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name])
        words = header.split() + (cells if numeric else " ".join(cells).split())
        least = max(map(len, words))
        # Figures take what they need, and texts the rest; neither is cut.
        width = least if numeric else None
        table.add_column(header, justify="right" if numeric else "left", min_width=least, width=width, overflow="fold")
    for row in zip(*shown.values(), strict=True):
        table.add_row(*row)
    return table


def _cell(value: object, digits: int) -> str:
    if isinstance(value, bool):
        return "*" if value else ""
    if isinstance(value, float):
        return "" if value != value else f"{value:.{digits}f}"
    return str(value)
