"""`dovetail validate`: does the simulator rank policies as the hardware does?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from analysis.ranking import Ranking


@click.command()
@click.argument("simulated", metavar="SIMULATED", type=click.Path(path_type=Path))
@click.argument("measured", metavar="MEASURED", type=click.Path(path_type=Path))
@click.option(
    "--metric",
    "merit",
    type=click.Choice(["jct", "e2e", "ttft", "makespan"]),
    default="jct",
    show_default=True,
    help="By whose mean policies are ranked; lower is better.",
)
@click.option("--pool-workloads", is_flag=True, help="Workloads of one name are draws of one scenario.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="PNG", help="Draw it, too, with an SVG beside it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def validate(simulated: Path, measured: Path, plot: Path | None, as_json: bool, **options: Any) -> None:
    """Say whether simulated runs rank policies as measured ones do.

    SIMULATED and MEASURED are folders with run directories at any depth, as `dovetail suite` writes them. Runs of one
    workload on as many engines with the same client are one scenario; within it, runs of one policy and seed are
    paired. For each scenario: Kendall's tau, the pairs of policies whose difference has the measured sign, and the
    regret of choosing by simulation.
    """
    from analysis.comparison.compare import json_rows
    from analysis.ranking import rank_policies
    from analysis.ranking_tables import ranking_tables
    from analysis.validation_runs import find_runs, validation_table
    from dovetail.output import console

    merit = options["merit"]
    if plot is not None and plot.suffix != ".png":
        raise ValueError(f"--plot {plot} must end in .png")
    table = validation_table(find_runs(simulated), find_runs(measured), merit, pool_workloads=options["pool_workloads"])
    ranking = rank_policies(table)
    if plot is not None:
        _draw(ranking, merit, plot, measured)
    if as_json:
        frames = {name: json_rows(getattr(ranking, name)) for name in ("scenarios", "policies", "pairs")}
        print(json.dumps({"metric": merit, **frames, "unpaired": table.attrs["unpaired"]}, indent=2))
        return
    terminal = console()
    for directory in table.attrs["unpaired"]:
        terminal.print(f"note: {directory} has no counterpart and is left out", markup=False)
    for shown in ranking_tables(ranking, merit):
        terminal.print(shown)


def _draw(ranking: Ranking, merit: str, plot: Path, measured: Path) -> None:
    from analysis.comparison.manifests import hardware
    from analysis.plots import style
    from analysis.plots.ranking import ranking_figure
    from analysis.validation_runs import MERIT_LABELS, find_runs
    from traces.records import read_manifest

    engines = sorted({hardware(read_manifest(directory)) for directory in find_runs(measured)})
    figure = ranking_figure(ranking, merit=f"{MERIT_LABELS[merit]} (s)", caption=f"Measured on {'; '.join(engines)}.")
    style.save(figure, plot.with_suffix(""))
