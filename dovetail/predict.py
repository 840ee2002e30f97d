"""`dovetail predict`: what can be said about a workload without simulating it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dovetail.options import client_options, engines_option, limit_options, profile_option, workload_argument
from dovetail.setting import engine_settings, gateway


@click.command()
@workload_argument
@engines_option
@profile_option
@client_options
@limit_options
@click.option("--bounds", default="", metavar="STAGE=N,...", help="Most calls of a stage on one engine.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def predict(workload: Path, **options: Any) -> None:
    """Predict the makespan of WORKLOAD in closed form, term by term, with lower bounds."""
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
