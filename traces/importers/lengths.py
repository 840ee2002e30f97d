"""Tables of prompt and output lengths, under the column names that published data sets use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from traces.arrivals import all_at_once, trace_arrivals
from traces.generators.single import single_calls
from traces.importers.rows import csv_rows, first, number, require_rows, stem, whole
from traces.workload import Workload

#: Pairs of (prompt, output) columns, tried in this order.
COLUMN_PAIRS = (
    ("prompt_tokens", "output_tokens"),
    ("prompt_tokens", "completion_tokens"),
    ("num_prefill_tokens", "num_decode_tokens"),
    ("num_prompt_tokens", "num_output_tokens"),
    ("input_toks", "output_toks"),
    ("input_tokens", "output_tokens"),
    ("input_length", "output_length"),
    ("ContextTokens", "GeneratedTokens"),
)


def read_lengths(path: Path | str, *, limit: int | None = None) -> np.ndarray:
    """Lengths, (num_rows, 2) int, tokens: prompt and output of each row of a CSV file, gzipped or not.

    Parameters
    ----------
    path : Path or str
        Has one of `COLUMN_PAIRS` among its columns.
    limit : int, optional
        Take the first `limit` rows only.

    Raises
    ------
    ValueError
        For a row that does not fit, with file, line, field, value and rule.
    """
    return _read(path, limit)[0]


def import_lengths(path: Path | str, arrivals: np.ndarray | None = None, *, limit: int | None = None) -> Workload:
    """One application of one call for each row.

    Parameters
    ----------
    path : Path or str
    arrivals : (num_rows,) float array, seconds, optional
        By default the column `arrival_time_ns` where there is one, shifted to start at 0; else all at 0.
    limit : int, optional
    """
    lengths, recorded = _read(path, limit)
    if arrivals is None:
        arrivals = all_at_once(len(lengths)) if recorded is None else recorded
    return single_calls(lengths, arrivals, name=stem(path))


def _read(path: Path | str, limit: int | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Lengths and, where the table has them, arrivals in seconds."""
    rows = list(first(csv_rows(path), limit))
    require_rows(path, rows)
    header = rows[0][1]
    pair = next((pair for pair in COLUMN_PAIRS if pair[0] in header and pair[1] in header), None)
    if pair is None:
        named = "; ".join(", ".join(pair) for pair in COLUMN_PAIRS)
        raise ValueError(f"{path}: columns {list(header)} must include one of the pairs {named}")
    lengths = np.array([[whole(where, row, column) for column in pair] for where, row in rows])
    if "arrival_time_ns" not in header:
        return lengths, None
    instants = np.array([number(where, row, "arrival_time_ns") for where, row in rows])
    if (np.diff(instants) < 0).any():
        raise ValueError(f"{path}: arrival_time_ns must not decrease from row to row")
    return lengths, trace_arrivals(instants / 1e9)
