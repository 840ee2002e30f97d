"""`dovetail trace`: one or two runs as a file for Perfetto or chrome://tracing."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("first", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("second", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help=".json or .json.gz.")
@click.option("--until", type=float, default=float("inf"), metavar="SECONDS", help="Leave out what begins later.")
@click.option("--overwrite", is_flag=True, help="Replace the file that is there.")
def trace(first: Path, second: Path | None, out: Path, until: float, overwrite: bool) -> None:
    """Write calls, steps and decisions of run directories as a Chrome trace, on one time axis.

    Open it at ui.perfetto.dev or in chrome://tracing.
    """
    from analysis.chrome_trace import trace_events, write_trace
    from dovetail.output import whole_file
    from traces.records import read_run

    if not until > 0.0:
        raise ValueError(f"--until {until:g} must be a positive number of seconds")
    if not out.name.endswith((".json", ".json.gz")):
        raise ValueError(f"--out {out} must end in .json or .json.gz")
    runs = {str(directory): read_run(directory) for directory in (first, second) if directory is not None}
    if second is not None and len(runs) < 2:
        raise ValueError(f"{first} is named twice; a trace of two runs needs two directories")
    with whole_file(out, overwrite=overwrite) as file:
        number = write_trace(file, trace_events(runs, until=until))
    print(f"wrote {out}: {number:,} events")
