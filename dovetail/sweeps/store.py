"""The folder of a sweep: one file for every finished cell, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dovetail.output import staged
from dovetail.sweeps.cell import Cell
from dovetail.sweeps.run_cell import Outcome
from traces.files import save_workload
from traces.records import write_run

MARKER = "sweep.json"


class Store:
    """Results of cells, by their keys.

    Parameters
    ----------
    folder : Path
        Of the sweep; made when missing.

    Raises
    ------
    ValueError
        When the folder holds something else.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"--out {folder} must be a directory, and is a file")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).exists():
            raise ValueError(f"--out {folder} is not empty and holds no {MARKER}; it is left as it is")
        self._folder = folder
        self._cells = folder / "cells"
        self._cells.mkdir(parents=True, exist_ok=True)

    def read(self, key: str) -> dict[str, Any] | None:
        """What was written of a cell, or None when it has not finished."""
        try:
            stored: dict[str, Any] = json.loads((self._cells / f"{key}.json").read_text())
        except FileNotFoundError:
            return None
        return stored

    def has_records(self, key: str) -> bool:
        """Whether the run directory of a cell was kept."""
        return (self._folder / "runs" / key).exists()

    def write(self, key: str, cell: Cell, outcome: Outcome) -> None:
        """Keep a finished cell, its run directory first: a cell that is there is there with everything."""
        if outcome.records is not None and outcome.workload is not None and not self.has_records(key):
            with staged(self._folder / "runs" / key, overwrite=False) as directory:
                outcome.records.manifest["sweep"] = {**dict(cell.coordinates), "seed": cell.seed, "words": cell.words}
                write_run(directory, outcome.records)
                save_workload(outcome.workload, directory / "workload.json.gz")
        self._write_json(
            self._cells / f"{key}.json",
            {"cell": {**dict(cell.coordinates), "seed": cell.seed}, "result": outcome.result, "ran": outcome.ran},
        )

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Say what the folder holds."""
        self._write_json(self._folder / MARKER, manifest)

    def write_table(self, name: str, table: pd.DataFrame, *, csv: bool = False) -> None:
        """Write a table, as Parquet or as CSV."""
        path = self._folder / f"{name}.{'csv' if csv else 'parquet'}"
        part = path.with_suffix(".part")
        if csv:
            table.to_csv(part, index=False)
        else:
            pq.write_table(pa.Table.from_pandas(table, preserve_index=False), part)
        part.replace(path)

    def _write_json(self, path: Path, value: object) -> None:
        """Write a file that is whole whenever it is seen, after a loss of power, too."""
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("w") as file:
            json.dump(value, file, default=str)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
