"""`dovetail predict`: what can be said about a workload without simulating it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from dovetail.options import client_options, engines_option, limit_options, profile_option, workload_argument
from dovetail.setting import engine_settings, gateway

#: Options that say nothing of the cluster.
_WITH_RUNS = ("workload", "runs", "profile", "as_json")


@click.command()
@workload_argument
@engines_option
@profile_option
@client_options
@limit_options
@click.option("--bounds", default="", metavar="STAGE=N,...", help="Most calls of a stage on one engine.")
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Run directory of WORKLOAD, simulated or measured, to put beside it; may be repeated. Settings are the run's.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def predict(workload: Path, runs: tuple[Path, ...], **options: Any) -> None:
    """Predict the makespan of WORKLOAD in closed form, term by term, with lower bounds.

    With --run, say what lies between an estimate of rounds x steps x step time, the closed form, and what ran.
    """
    if runs:
        _beside_runs(workload, runs, options)
        return
    from analysis.prediction import predict as closed_form
    from dovetail.closed_form import deployment_of, parse_bounds
    from sim.profile import load_profile
    from sim.run import SimulatedCluster
    from traces.files import load_workload
    from traces.fit import check_fit
    from traces.validation import require_stages

    profile = load_profile(options["profile"])
    cluster = SimulatedCluster(profile, options["num_engines"], engine_settings(profile, options))
    client = gateway(options)
    bounds = parse_bounds(options["bounds"])
    loaded = load_workload(workload)
    require_stages(bounds, loaded, source=str(workload))
    check_fit(loaded, cluster.settings, source=str(workload))
    cost = profile.step_cost(cluster.settings.async_scheduling)
    prediction = closed_form(loaded, cost, deployment_of(loaded, cluster, client, bounds))
    print(json.dumps(prediction.to_dict(), indent=2) if options["as_json"] else "\n".join(prediction.lines()))


def _beside_runs(workload: Path, runs: tuple[Path, ...], options: dict[str, Any]) -> None:
    """The closed form of runs, at their settings."""
    from dovetail.output import console
    from dovetail.predict_runs import beside_runs, runs_table
    from sim.profile import load_profile
    from traces.files import load_workload

    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and parameter.name not in _WITH_RUNS:
            raise click.UsageError(f"{parameter.opts[0]} does not go with --run, whose settings are taken", context)
    found = beside_runs(load_workload(workload), runs, load_profile(options["profile"]))
    if options["as_json"]:
        print(json.dumps(found.to_dict(), indent=2))
    else:
        console().print(*runs_table(found), sep="\n")
