"""The record schema every backend writes: calls, steps and decisions of a run, and its manifest.

A run directory holds `manifest.json`, `calls.parquet`, `steps.parquet` and `decisions.parquet`. Instants are seconds
from the start of the run and end in `_at`; counts are integers. Nothing here knows which backend produced a record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

#: One row a call. `ready` = dependencies done; `submitted` = reached the service (after think time and network);
#: `dispatched` = handed to an engine; `scheduled` = first in a step; `status` = "ok" or the failure.
CALL_COLUMNS = (
    "app",
    "call",
    "stage",
    "engine",
    "num_prompt_tokens",
    "num_output_tokens",
    "num_cached_tokens",
    "app_arrived_at",
    "ready_at",
    "submitted_at",
    "dispatched_at",
    "scheduled_at",
    "first_token_at",
    "finished_at",
    "num_preemptions",
    "status",
)

#: One row an engine iteration, or one row a run of `count` iterations over the same decoding calls.
#: `num_context_tokens` is the context read by the decoding calls in the first of them; it grows by `num_decodes`
#: tokens with each further iteration. `num_running` and `num_free_blocks` are after scheduling the first. A step
#: that preempts and then finds nothing to run has a row too, of no duration.
STEP_COLUMNS = (
    "engine",
    "step",
    "count",
    "started_at",
    "finished_at",
    "num_decodes",
    "num_context_tokens",
    "num_prefills",
    "num_prefill_tokens",
    "num_running",
    "num_free_blocks",
    "num_preempted",
)

#: One row a policy decision. `kind` is "route"; `outcome` is "dispatch" or "hold".
DECISION_COLUMNS = ("at", "kind", "app", "call", "engine", "outcome")


@dataclass(frozen=True, slots=True)
class RunRecords:
    """What one run left behind.

    Parameters
    ----------
    manifest : dict
        What ran: command, policy, workload hash, resolved engine settings, profile, seeds, versions, `complete`.
    calls, steps, decisions : pandas.DataFrame
        Columns `CALL_COLUMNS`, `STEP_COLUMNS`, `DECISION_COLUMNS`.
    """

    manifest: dict[str, Any]
    calls: pd.DataFrame
    steps: pd.DataFrame
    decisions: pd.DataFrame


def write_run(directory: Path, records: RunRecords, *, csv: bool = False) -> None:
    """Write a run directory; with `csv`, each table as CSV beside the Parquet file.

    Raises
    ------
    OSError
        When the directory cannot be made or written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("calls", "steps", "decisions"):
        frame: pd.DataFrame = getattr(records, name)
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), directory / f"{name}.parquet")
        if csv:
            frame.to_csv(directory / f"{name}.csv", index=False)
    text = json.dumps(records.manifest, indent=2, sort_keys=True, default=_plain)
    (directory / "manifest.json").write_text(text + "\n")


def read_manifest(directory: Path) -> dict[str, Any]:
    """Read what ran from a run directory.

    Raises
    ------
    ValueError
        When there is no manifest, or it is not a JSON object; the message names the directory.
    """
    path = directory / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{directory}: no manifest.json, so this is not a run directory") from None
    except ValueError as error:  # not JSON, or not text
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(manifest, dict):
        raise ValueError(f"{path}: must be a JSON object, as `dovetail simulate` and `dovetail measure` write it")
    return manifest


def read_run(directory: Path) -> RunRecords:
    """Read a run directory.

    Raises
    ------
    ValueError
        When a file is missing or lacks a column; the message names both.
    """
    manifest = read_manifest(directory)
    columns = {"calls": CALL_COLUMNS, "steps": STEP_COLUMNS, "decisions": DECISION_COLUMNS}
    frames = {}
    for name, wanted in columns.items():
        path = directory / f"{name}.parquet"
        if not path.exists():
            raise ValueError(f"{directory}: no {name}.parquet, so this run directory is not whole")
        frames[name] = pq.read_table(path).to_pandas()
        missing = [column for column in wanted if column not in frames[name].columns]
        if missing:
            raise ValueError(f"{path}: column {missing[0]!r} is missing")
    return RunRecords(manifest, **frames)


def _plain(value: object) -> object:
    """JSON form of NumPy scalars and paths, which manifests may carry."""
    if isinstance(value, np.generic):
        return value.item()
    return str(value)
