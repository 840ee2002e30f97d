"""`dovetail report`: a comparison of a simulated and a measured run as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("simulated", metavar="SIMULATED_DIR", type=click.Path(path_type=Path))
@click.argument("measured", metavar="MEASURED_DIR", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Ending in .html.")
@click.option("--overwrite", is_flag=True, help="Replace the file that is there.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the confidence intervals.")
def report(simulated: Path, measured: Path, out: Path, overwrite: bool, seed: int) -> None:
    """Write tables, pictures and settings of two run directories to one HTML file that needs nothing beside it."""
    from analysis.comparison.compare import compare_runs
    from analysis.report.page import render
    from dovetail.output import whole_file
    from traces.records import read_run

    if out.suffix != ".html":
        raise ValueError(f"--out {out} must end in .html")
    runs = (read_run(simulated), read_run(measured))
    with whole_file(out, overwrite=overwrite) as file:
        file.write_text(render(*runs, compare_runs(*runs, seed=seed)), encoding="utf-8")
    print(f"wrote {out}")
