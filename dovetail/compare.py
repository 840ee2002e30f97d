"""`dovetail compare`: how far a simulated run is from a measured one, and where that comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from analysis.comparison.compare import Comparison
    from traces.records import RunRecords

#: A picture that every comparison draws: what is beside it may be replaced.
_MARKER = "scatter.png"


@click.command()
@click.argument("simulated", metavar="SIMULATED_DIR", type=click.Path(path_type=Path))
@click.argument("measured", metavar="MEASURED_DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Draw the pictures there, too: PNG and SVG."
)
@click.option("--overwrite", is_flag=True, help="Replace the pictures of an earlier comparison.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the confidence intervals.")
def compare(simulated: Path, measured: Path, as_json: bool, out: Path | None, **options: Any) -> None:
    """Compare two run directories of one workload, call by call.

    Errors of latency and completion time with confidence intervals; the error of the completion time split along the
    critical path; decisions that differ; the difference in engine time split into schedule and cost of steps.
    """
    from analysis.comparison.compare import compare_runs
    from analysis.comparison.manifests import caption
    from analysis.comparison.tables import comparison_tables
    from dovetail.output import console
    from traces.records import read_run

    runs = (read_run(simulated), read_run(measured))
    comparison = compare_runs(*runs, seed=options["seed"])
    line = caption(runs[0].manifest, runs[1].manifest)
    if out is not None:
        _draw(out, options["overwrite"], runs, comparison)
    if as_json:
        print(json.dumps(comparison.to_dict(), indent=2))
        return
    terminal = console()
    for remark in comparison.remarks:
        terminal.print(f"note: {remark}", markup=False)
    for table in comparison_tables(comparison, caption=line):
        terminal.print(table)
        if table.caption:
            terminal.print()  # or it would run into the title of the next


def _draw(directory: Path, overwrite: bool, runs: tuple[RunRecords, RunRecords], comparison: Comparison) -> None:
    """Every picture as PNG and SVG."""
    from analysis.plots import style
    from analysis.plots.comparison import comparison_figures
    from dovetail.output import staged

    with staged(directory, overwrite=overwrite, marker=_MARKER) as folder:
        for name, figure in comparison_figures(*runs, comparison):
            style.save(figure, folder / name)
