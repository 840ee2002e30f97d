"""What a sweep amounts to: its tables, its pictures, and a few lines or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from analysis.comparison.compare import json_rows
from analysis.statistics.sweep_tables import policy_differences, setting_means
from dovetail.output import console
from dovetail.sweeps.cell import Cell
from dovetail.sweeps.pictures import FIGURE, draw
from dovetail.sweeps.spec import ORACLE, Spec
from dovetail.sweeps.store import Store
from traces.wording import counted


def write_report(
    spec: Spec, cells: Sequence[Cell], keys: Sequence[str], store: Store, folder: Path, *, as_json: bool
) -> int:
    """Write tables and pictures of the cells that are there, and print what they say.

    Returns
    -------
    int
        Cells without a result.
    """
    runs, ran = _tables(cells, keys, store)
    store.write_table("cells", runs)
    store.write_table("ran", ran)
    done = runs[runs["status"] == "ok"]
    means = differences = pd.DataFrame()
    if not done.empty:
        means, differences = setting_means(runs, spec.keys), policy_differences(runs, spec.keys, spec.reference)
        store.write_table("settings", means, csv=True)
        store.write_table("differences", differences, csv=True)
        draw(spec, done, means, differences, folder)
    failures = list(_failures(runs))
    if as_json:
        frames = {"settings": json_rows(means), "differences": json_rows(differences), "failures": failures}
        print(json.dumps({"num_cells": len(cells), **frames}, indent=2))
    else:
        _print(spec, means, differences, failures)
    return len(cells) - len(done)


def _failures(runs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Every error, with how many cells ended in it and one of them."""
    for error, own in runs[runs["status"] != "ok"].groupby("error", sort=False):
        first = own.iloc[0]
        yield {"error": error, "num_cells": len(own), "policy": first["policy"], "workload": first["workload"]}


def _print(spec: Spec, means: pd.DataFrame, differences: pd.DataFrame, failures: Sequence[dict[str, Any]]) -> None:
    if not means.empty:
        console().print(_summary(spec, means, differences))
    for each in failures:
        count = counted(each["num_cells"], "cell")
        print(f"{count} without a result, as policy {each['policy']} on {each['workload']}: {each['error']}")


def _tables(cells: Sequence[Cell], keys: Sequence[str], store: Store) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a cell, in the order of the specification; and where each of them ran."""
    rows, ran = [], []
    for cell, key in zip(cells, keys, strict=True):
        stored = store.read(key)
        if stored is not None:
            rows.append({**dict(cell.coordinates), "seed": cell.seed, "key": key, **stored["result"]})
            ran.append({"key": key, **stored["ran"]})
    return pd.DataFrame(rows), pd.DataFrame(ran)


def _summary(spec: Spec, means: pd.DataFrame, differences: pd.DataFrame) -> Table:
    """One row a workload and load: the bound, the baseline, the best policy that a gateway could run, the oracle."""
    table = Table(box=None, title_justify="left", title="Mean JCT, simulated, 95% intervals over seeds")
    others = [key for key in spec.keys if key != "policy"]
    for name in [*others, "lower bound", spec.reference, "best observable", "oracle"]:
        table.add_column(name, overflow="fold")  # a value of an axis that is cut off could be any
    by_setting = means.groupby(others, sort=False)
    compared = dict(list(differences.groupby(others, sort=False))) if not differences.empty else {}
    for values, own in by_setting:
        bound = own.loc[own["figure"] == "jct_bound", "mean"].mean()
        base = own[(own["figure"] == FIGURE) & (own["policy"] == spec.reference)].iloc[0]
        against = compared.get(values, differences)
        against = against[against["figure"] == FIGURE] if not against.empty else against
        best = against[~against["policy"].map(spec.sees_oracle)].dropna(subset="relative") if len(against) else against
        cells = [f"{bound:.3f} s", _mean(base), _best(best), _oracle(against)]
        table.add_row(*(f"{value:g}" if isinstance(value, float) else str(value) for value in values), *cells)
    return table


def _mean(row: Any) -> str:
    reach = row["high"] - row["mean"]
    margin = f" ± {reach:.3f}" if reach == reach else ""  # undefined with a single seed
    return "saturated" if row["is_saturated"] else f"{row['mean']:.3f}{margin} s"


def _best(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "-"
    best = rows.loc[rows["relative"].idxmin()]
    return f"{best['policy']} {_relative(best)}"


def _oracle(rows: pd.DataFrame) -> str:
    own = rows[rows["policy"] == ORACLE[0]].dropna(subset="relative") if len(rows) else rows
    return _relative(own.iloc[0]) if len(own) else "-"


def _relative(row: pd.Series) -> str:
    if row["relative_low"] != row["relative_low"]:  # undefined: every seed had the same difference
        return f"{row['relative']:+.1%}"
    return f"{row['relative']:+.1%} ({row['relative_low']:+.1%} to {row['relative_high']:+.1%})"
