"""What all importers share: reading CSV and JSONL rows with their line numbers, and checking values in one wording."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import TypeVar

import msgspec

from traces.files import read_bytes
from traces.validation import shown

Row = TypeVar("Row")

#: msgspec's words for what it expected, in plain English.
_PLAIN_WORDS = {
    "Expected": "must be",
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "array": "a list",
    "object": "an object",
    ">=": "of at least",
    "|": "or",
}


def csv_rows(path: Path | str, columns: Iterable[str] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a CSV file, gzipped or not.

    Parameters
    ----------
    path : Path or str
    columns : iterable of str
        Columns that must be there.

    Yields
    ------
    where, row : str, dict of column to text
        `where` reads `FILE: line N` and opens error messages.
    """
    lines = io.StringIO(_decoded(path), newline="")
    reader = csv.DictReader(lines, strict=True)
    try:
        header = reader.fieldnames or []  # read on first use: a fault in it is a csv.Error, too
        missing = [column for column in columns if column not in header]
        if missing:
            raise ValueError(f"{path}: column {missing[0]!r} is missing; the header must have {', '.join(columns)}")
        for row in reader:
            where = f"{path}: line {reader.line_num}"
            if None in row or None in row.values():
                raise ValueError(f"{where}: row must have {len(header)} fields, as the header has")
            yield where, row
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.reader.line_num}: not valid CSV: {error}") from None


def json_rows(path: Path | str, row_type: type[Row], limit: int | None = None) -> Iterator[tuple[str, Row]]:
    """Rows of a JSONL file, gzipped or not, one at a time since a row may be large.

    Parameters
    ----------
    path : Path or str
    row_type : type
        msgspec type of a row; its `Meta` constraints are the rules.
    limit : int, optional
        Most rows to read.

    Yields
    ------
    where, row : str, row_type
    """
    decoder = msgspec.json.Decoder(row_type)
    numbered = ((n, line) for n, line in enumerate(read_bytes(Path(path)).split(b"\n"), start=1) if line.strip())
    for number, line in first(numbered, limit):
        where = f"{path}: line {number}"
        try:
            yield where, decoder.decode(line)
        except msgspec.ValidationError as error:
            raise ValueError(f"{where}: {_row_fault(str(error), line)}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{where}: not valid JSON: {error}") from None


def first(rows: Iterable[Row], limit: int | None) -> Iterator[Row]:
    """The first `limit` of the rows, all when None."""
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ValueError(f"limit={limit!r} must be a positive integer")
    return islice(rows, limit)


def whole(where: str, row: dict[str, str], field: str, least: int = 1) -> int:
    """Integer in a CSV row, refused when it is not one or below `least`."""
    try:
        value = int(row[field])
    except ValueError:
        value = least - 1
    if value < least:
        raise ValueError(f"{where}: {field}={shown(row[field])} must be an integer of at least {least}")
    return value


def number(where: str, row: dict[str, str], field: str) -> float:
    """Finite number of at least 0 in a CSV row."""
    try:
        value = float(row[field])
    except ValueError:
        value = -1.0
    if not (isfinite(value) and value >= 0):
        raise ValueError(f"{where}: {field}={shown(row[field])} must be a finite number of at least 0")
    return value


def require_rows(path: Path | str, rows: Iterable[object]) -> None:
    """Refuse a file from which nothing was read."""
    if not rows:
        raise ValueError(f"{path}: no rows; a trace must hold at least one")


def require_scale(time_scale: float) -> None:
    """Refuse a factor on recorded times that is not a positive finite number."""
    if not 0 < time_scale < float("inf"):
        raise ValueError(f"time_scale={time_scale!r} must be a positive finite number")


def stem(path: Path | str) -> str:
    """File name without its endings, to name a workload after."""
    return Path(path).name.split(".")[0]


def _decoded(path: Path | str) -> str:
    try:
        return read_bytes(Path(path)).decode("utf-8-sig")  # spreadsheets put a byte-order mark before CSV
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text: {error}") from None


def _row_fault(message: str, line: bytes) -> str:
    """msgspec's message as `field=value must be ...`."""
    fault, _, path = message.partition(" - at `$")
    words = fault.partition(", got")[0].replace("`", "").split(" ")
    rule = " ".join(_PLAIN_WORDS.get(word, word) for word in words)
    field = path.rstrip("`").lstrip(".")
    rule = "must be a finite number" if rule == "Number out of range" else rule
    try:
        row = json.loads(line)  # the standard library's reader takes NaN and 1e999, so that they can be named
    except (ValueError, RecursionError) as error:
        return f"not valid JSON: {error}"
    name = field.partition("[")[0].partition(".")[0]
    if not field:
        return f"row {rule}" if rule.startswith("must") else rule
    value = f"={shown(row[name])}" if name == field and name in row else ""
    return f"{field}{value} {rule}"
