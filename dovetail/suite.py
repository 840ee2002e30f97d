"""`dovetail suite`: many runs, one after the other, simulated or on real engines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dovetail.backends import check_kind, device_options
from dovetail.suite_runs import measure_runs, prepared, simulate_runs
from dovetail.suite_spec import SuiteRun, load_suite


@click.command()
@click.argument("spec", metavar="SUITE", type=click.Path(path_type=Path))
@click.option("--simulate", "simulated", is_flag=True, help="On simulated engines of --profile, each run once.")
@device_options
@click.option("--only", multiple=True, metavar="NAME", help="Of all runs only this; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Gets NAME/0, NAME/1, ... for the repeats.")
def suite(spec: Path, simulated: bool, only: tuple[str, ...], out: Path, **options: Any) -> None:
    """Run every line of SUITE and write a run directory for each.

    SUITE is YAML: a name, and what would stand behind `dovetail simulate`: the workload file, relative to SUITE, and
    options of policy, gateway and engine limits, --engines, --order and --repeats. Real engines are started once for
    lines in a row that need the same ones; their prefix caches are emptied between runs. Runs that are there and
    complete are left alone, so the same command continues what was interrupted.
    """
    check_kind("--simulate" if simulated else f"--device {options['device']}")
    runs = _chosen(load_suite(spec), only, spec)
    # Whatever can be known to be wrong is said before anything runs.
    workloads = {run.name: prepared(run, options["profile"] if simulated else None) for run in runs}
    if simulated:
        simulate_runs(runs, workloads, options["profile"], out)
    elif not measure_runs(runs, workloads, options, out):
        print("dovetail: the last run is not complete; the suite ends here", file=sys.stderr)
        sys.exit(1)


def _chosen(runs: Sequence[SuiteRun], only: Sequence[str], spec: Path) -> Sequence[SuiteRun]:
    names = {run.name for run in runs}
    for name in only:
        if name not in names:
            raise ValueError(f"--only {name!r} is not in {spec}; it has {', '.join(sorted(names))}")
    return [run for run in runs if not only or run.name in only]
