"""`dovetail sweep`: many simulations, on all cores or on a cluster, and what they amount to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from traces.wording import counted

if TYPE_CHECKING:
    from dovetail.sweeps.cell import Cell
    from dovetail.sweeps.run_cell import Outcome
    from dovetail.sweeps.store import Store


@click.command()
@click.argument("spec", metavar="SPEC", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder; an earlier sweep is continued.")
@click.option("--jobs", type=click.IntRange(1), help="Cells at a time on this machine; one a core by default.")
@click.option(
    "--ray", is_flag=False, flag_value="local", metavar="[ADDRESS]", help="On a Ray cluster; without an address, here."
)
@click.option("--runs", "keep_records", is_flag=True, help="Keep a run directory for every cell, in runs/.")
@click.option("--json", "as_json", is_flag=True, help="Print settings and differences as JSON instead of a table.")
def sweep(spec: Path, out: Path, keep_records: bool, as_json: bool, **where: Any) -> None:
    """Simulate every cell of SPEC: workloads x loads x policies x seeds.

    SPEC is YAML (docs/sweeps.md). The folder gets cells.parquet, a row a cell; settings.csv, means over seeds with 95%
    intervals; differences.csv, policies compared seed by seed; ran.parquet, where each cell ran; and pictures.

    Every finished cell is kept, so the same command continues what was interrupted, and a changed SPEC or policy runs
    what is new. A cell that fails is recorded with its error. Exit status: 0 every cell has a result, 1 some do not,
    130 interrupted.
    """
    from dovetail.output import terminated_like_interrupted
    from dovetail.sweeps.digest import cell_key, code_digest
    from dovetail.sweeps.report import write_report
    from dovetail.sweeps.spec import cells_of, load_spec
    from dovetail.sweeps.store import Store

    loaded = load_spec(spec)
    cells = cells_of(loaded, spec.parent)
    keys = [cell_key(cell, code_digest()) for cell in cells]
    store = Store(out)
    store.write_manifest({"spec": spec.read_text(), "command": ["dovetail", *sys.argv[1:]], "complete": False})
    pending = _pending(keys, store, keep_records)
    num_kept = len(set(keys)) - len(pending)
    same = f", {len(keys) - len(set(keys)):,} the same as others" if len(set(keys)) < len(keys) else ""
    planned = f"{counted(len(cells), 'cell')}, {num_kept:,} of them kept from earlier{same}"
    print(planned, file=sys.stderr if as_json else sys.stdout, flush=True)
    chosen = [cells[index] for index in pending]
    try:
        with terminated_like_interrupted(), _progress(len(chosen)) as advance:
            for index, outcome in _outcomes(chosen, keep_records, **where):
                store.write(keys[pending[index]], chosen[index], outcome)
                advance(outcome)
    except KeyboardInterrupt:
        print(f"dovetail: interrupted; the same command continues what is in {out}", file=sys.stderr)
        sys.exit(130)
    num_missing = write_report(loaded, cells, keys, store, out, as_json=as_json)
    store.write_manifest({"spec": spec.read_text(), "command": ["dovetail", *sys.argv[1:]], "complete": True})
    sys.exit(1 if num_missing else 0)


def _pending(keys: Sequence[str], store: Store, keep_records: bool) -> list[int]:
    """Indices of the cells to run; of those that are the same, the first."""
    first = {key: index for index, key in reversed(list(enumerate(keys)))}
    return sorted(index for key, index in first.items() if _is_missing(key, store, keep_records))


def _is_missing(key: str, store: Store, keep_records: bool) -> bool:
    stored = store.read(key)
    if stored is None or stored["result"]["status"] == "lost":
        return True
    return keep_records and stored["result"]["status"] == "ok" and not store.has_records(key)


def _outcomes(
    cells: Sequence[Cell], keep_records: bool, jobs: int | None, ray: str | None
) -> Iterator[tuple[int, Outcome]]:
    if not cells:
        return iter(())
    if ray is not None:
        from dovetail.sweeps.on_ray import on_ray

        return on_ray(cells, ray, jobs, keep_records=keep_records)
    from dovetail.sweeps.local import num_cores, on_cores

    return on_cores(cells, min(jobs or num_cores(), len(cells)), keep_records=keep_records)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """A bar with the time left on a terminal, a line now and then elsewhere; on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    terminal = Console(stderr=True)
    started = time.monotonic()
    counts = {"done": 0, "failed": 0}
    with Progress(*columns, console=terminal, disable=not terminal.is_terminal, transient=True) as bar:
        task = bar.add_task("cells", total=total)

        def advance(outcome: Any) -> None:
            counts["done"] += 1
            counts["failed"] += outcome.result["status"] != "ok"
            words = f"cells, {counts['failed']} failed" if counts["failed"] else "cells"
            bar.update(task, completed=counts["done"], description=words)
            if not terminal.is_terminal and counts["done"] % max(1, total // 10) == 0:
                left = (time.monotonic() - started) / counts["done"] * (total - counts["done"])
                print(f"{counts['done']:,} of {total:,} {words}, about {left:,.0f} s left", file=sys.stderr, flush=True)

        yield advance
