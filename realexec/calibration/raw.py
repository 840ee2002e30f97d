"""The raw measurement as tables and files: points, calls, steps, and the engine they belong to."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pandas as pd

from realexec.calibration.measure import Notes
from realexec.calibration.point import Point
from realexec.interface import EngineInfo, RequestFacts

_TABLES = ("points", "calls", "steps")


@dataclass(frozen=True, slots=True)
class RawMeasurement:
    """What a calibration left behind.

    Parameters
    ----------
    engine : dict
        `EngineInfo` as plain values, with `tensor_parallel_size`, `seconds` (GPU time), `date`, `seed`, `small` and
        `num_skipped_points`; of several sessions also `sessions`, a list of their `date` and `seconds`.
    points : pandas.DataFrame
        point, kind, held_out, asynchronous, started_at, finished_at.
    calls : pandas.DataFrame
        Columns of `CallNote`, with asynchronous, scheduled_at and num_cached_tokens.
    steps : pandas.DataFrame
        `traces.records.STEP_COLUMNS` with asynchronous.
    """

    engine: dict[str, Any]
    points: pd.DataFrame
    calls: pd.DataFrame
    steps: pd.DataFrame


def tables_of(
    notes: Notes, facts: Mapping[str, RequestFacts], steps: pd.DataFrame, *, async_scheduling: bool
) -> dict[str, pd.DataFrame]:
    """The three tables of one engine."""
    points = pd.DataFrame(
        [(p.name, p.kind, p.held_out, is_async, *span) for p, is_async, *span in notes.points],
        columns=["point", "kind", "held_out", "asynchronous", "started_at", "finished_at"],
    )
    calls = pd.DataFrame(
        [
            asdict(note)
            | {
                "asynchronous": async_scheduling,
                "scheduled_at": facts[note.request_id].scheduled_at,
                "num_cached_tokens": facts[note.request_id].num_cached_tokens,
            }
            for note in notes.calls
            if note.request_id in facts
        ]
    )
    return {"points": points, "calls": calls, "steps": steps.assign(asynchronous=async_scheduling)}


def joined(engine: dict[str, Any], parts: list[dict[str, pd.DataFrame]]) -> RawMeasurement:
    """Tables of several engines, one after the other."""
    return RawMeasurement(
        engine, *(pd.concat([part[name] for part in parts if len(part[name])], ignore_index=True) for name in _TABLES)
    )


def engine_facts(info: EngineInfo, **more: Any) -> dict[str, Any]:
    """What the files say about the engine."""
    return {**asdict(info), **more}


def write_raw(folder: Path, raw: RawMeasurement, plan: list[Point]) -> None:
    """`points.parquet`, `calls.parquet`, `steps.parquet`, `engine.json` and `plan.json.gz`.

    Earlier files stay until all new ones are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as name:
        new = Path(name)
        for table in _TABLES:
            getattr(raw, table).to_parquet(new / f"{table}.parquet", index=False, compression="zstd")
        (new / "engine.json").write_text(json.dumps(raw.engine, indent=1, default=str) + "\n")
        (new / "plan.json.gz").write_bytes(gzip.compress(msgspec.json.encode(plan) + b"\n", mtime=0))
        for file in new.iterdir():
            file.replace(folder / file.name)


def read_raw(folder: Path) -> RawMeasurement:
    """What `write_raw` wrote.

    Raises
    ------
    ValueError
        When a file is missing.
    """
    try:
        engine = json.loads((folder / "engine.json").read_text())
        return RawMeasurement(engine, *(pd.read_parquet(folder / f"{name}.parquet") for name in _TABLES))
    except FileNotFoundError as error:
        raise ValueError(f"{folder}: no {Path(error.filename).name}, so this holds no calibration") from None
