"""Azure's LLM inference traces: one production service, token counts and arrival times, no prompt contents.

CSV with the columns `TIMESTAMP, ContextTokens, GeneratedTokens` (Azure/AzurePublicDataset, AzureLLMInferenceTrace_*).
Leaves out what the trace does not tell: which requests belong to one conversation, and which share prefixes.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from traces.importers.rows import csv_rows, first, require_rows, require_scale, stem, whole
from traces.validation import shown, validate_workload
from traces.workload import Application, Call, Workload, text


def import_azure(path: Path | str, *, limit: int | None = None, time_scale: float = 1.0) -> Workload:
    """One application of one call for each row, the earliest arriving at 0.

    Parameters
    ----------
    path : Path or str
        CSV, gzipped or not.
    limit : int, optional
        Take the first `limit` rows only.
    time_scale : float
        Factor on arrival times; 0.5 doubles the rate.

    Raises
    ------
    ValueError
        For a row that does not fit, with file, line, field, value and rule.
    """
    require_scale(time_scale)
    columns = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
    rows = [
        (_instant(where, row["TIMESTAMP"]), whole(where, row, "ContextTokens"), whole(where, row, "GeneratedTokens"))
        for where, row in first(csv_rows(path, columns), limit)
    ]
    require_rows(path, rows)
    start = min(instant for instant, _, _ in rows)
    applications = tuple(
        Application(
            f"r{i}",
            (instant - start).total_seconds() * time_scale,
            (Call("call", (text(f"r{i}-prompt", num_prompt_tokens),), num_output_tokens),),
        )
        for i, (instant, num_prompt_tokens, num_output_tokens) in enumerate(rows)
    )
    workload = Workload(stem(path), applications)
    validate_workload(workload, source=str(path))
    return workload


def _instant(where: str, timestamp: str) -> datetime:
    """Time stamp with up to seven decimals, of which Python keeps six; a zone, if given, is dropped."""
    try:
        return datetime.fromisoformat(timestamp).replace(tzinfo=None)
    except ValueError:
        raise ValueError(
            f"{where}: TIMESTAMP={shown(timestamp)} must be a date and time, YYYY-MM-DD HH:MM:SS.ffffff"
        ) from None
