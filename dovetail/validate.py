"""`dovetail validate`: does the simulator rank policies as the hardware does?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from dovetail.backends import check_kind, device_options
from dovetail.options import client_options, engines_option, limit_options

if TYPE_CHECKING:
    from analysis.ranking import Ranking


#: Options that say how runs are ranked; the others say how they are made.
_OF_RANKING = ("paths", "merit", "pool_workloads", "plot", "as_json")

#: What runs of policies side by side have no options for.
_GATEWAY = {"order": "gateway", "view_staleness": 0.0}


@click.command()
@click.argument("paths", metavar="{SIMULATED MEASURED | WORKLOAD...}", nargs=-1, type=click.Path(path_type=Path))
@click.option("--policies", metavar="A,B,...", help="Policies to simulate and measure on every WORKLOAD.")
@click.option("--seeds", "num_seeds", type=click.IntRange(1), default=1, show_default=True, help="Runs of each policy.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Of the runs: gets the folders simulated and measured.",
)
@engines_option
@device_options
@client_options
@limit_options
@click.option(
    "--metric",
    "merit",
    type=click.Choice(["jct", "e2e", "ttft", "makespan"]),
    default="jct",
    show_default=True,
    help="By whose mean policies are ranked; lower is better.",
)
@click.option("--pool-workloads", is_flag=True, help="Workloads of one name and size are draws of one scenario.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="PNG", help="Draw it, too, with an SVG beside it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def validate(paths: tuple[Path, ...], policies: str | None, out: Path | None, **options: Any) -> None:
    """Say whether simulated runs rank policies as measured ones do.

    With --policies, run these on every WORKLOAD first, simulated with --profile and measured on --device, once for each
    of --seeds, into --out; what is there already is not run again. Without, SIMULATED and MEASURED are folders with run
    directories at any depth, as `dovetail suite` writes them.

    Runs of one workload on as many engines with the same client are one scenario; within it, runs of one policy and
    seed are paired. For each scenario: Kendall's tau, the pairs of policies whose difference has the measured sign, and
    the regret of choosing by simulation.
    """
    plot: Path | None = options["plot"]
    if plot is not None and plot.suffix != ".png":
        raise ValueError(f"--plot {plot} must end in .png")
    simulated, measured = _folders(paths) if policies is None else _run_first(paths, policies, out, options)
    _show(simulated, measured, plot, options)


def _folders(paths: tuple[Path, ...]) -> tuple[Path, Path]:
    """The two folders of runs, and no option that is about running."""
    context = click.get_current_context()
    given = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    for name in given:
        if name not in _OF_RANKING:
            option = next(each for each in context.command.params if each.name == name)
            raise click.UsageError(f"{option.opts[0]} needs --policies, which says what to run", context)
    if len(paths) != 2:
        raise click.UsageError("give two folders of run directories, or workloads and --policies", context)
    return paths[0], paths[1]


def _run_first(
    workloads: tuple[Path, ...], policies: str, out: Path | None, options: dict[str, Any]
) -> tuple[Path, Path]:
    """Run policies in both backends; the two folders."""
    from dovetail.validation_suite import MEASURED, SIMULATED, run_both

    if not workloads or out is None:
        raise click.UsageError("--policies needs a WORKLOAD and --out", click.get_current_context())
    if options["device"] == "virtual":
        check_kind("--device virtual")  # on a GPU --profile is of the simulation
    run_both(workloads, policies, options["num_seeds"], {**options, **_GATEWAY}, out)
    return out / SIMULATED, out / MEASURED


def _show(simulated: Path, measured: Path, plot: Path | None, options: dict[str, Any]) -> None:
    """Rank, draw and print."""
    from analysis.comparison.compare import json_rows
    from analysis.comparison.manifests import not_hardware, second_label
    from analysis.ranking import rank_policies
    from analysis.ranking_tables import ranking_tables
    from analysis.validation_runs import find_runs, validation_table
    from dovetail.output import console
    from traces.records import read_manifest

    merit = options["merit"]
    real = find_runs(measured)
    manifests = [read_manifest(directory) for directory in real]
    table = validation_table(find_runs(simulated), real, merit, pool_workloads=options["pool_workloads"])
    ranking = rank_policies(table)
    if plot is not None:
        _draw(ranking, merit, plot, manifests)
    remarks = [f"{directory} has no counterpart and is left out" for directory in table.attrs["unpaired"]]
    remarks += not_hardware(manifests)
    if options["as_json"]:
        frames = {name: json_rows(getattr(ranking, name)) for name in ("scenarios", "policies", "pairs")}
        print(json.dumps({"metric": merit, **frames, "remarks": remarks}, indent=2))
        return
    terminal = console()
    for remark in remarks:
        terminal.print(f"note: {remark}", markup=False)
    for shown in ranking_tables(ranking, merit, measured_label=second_label(*manifests)):
        terminal.print(shown)


def _draw(ranking: Ranking, merit: str, plot: Path, manifests: Sequence[Mapping[str, Any]]) -> None:
    """The picture; `manifests` are those of the measured runs."""
    from analysis.comparison.manifests import hardware, second_label
    from analysis.plots import style
    from analysis.plots.ranking import ranking_figure
    from analysis.validation_runs import MERIT_LABELS

    label = second_label(*manifests)
    engines = "; ".join(sorted({hardware(manifest) for manifest in manifests}))
    caption = f"{label.capitalize()}: {engines}."
    figure = ranking_figure(ranking, merit=f"{MERIT_LABELS[merit]} (s)", measured_label=label, caption=caption)
    style.save(figure, plot.with_suffix(""))
