"""`dovetail predict`: what can be said about a workload without simulating it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from dovetail.options import cluster_options, engine_settings, workload_argument


@click.command()
@workload_argument
@cluster_options
@click.option("--bounds", default="", metavar="STAGE=N,...", help="Most calls of a stage on one engine.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def predict(workload: Path, **options: Any) -> None:
    """Predict the makespan of WORKLOAD in closed form, term by term, with lower bounds."""
    from analysis.prediction import predict as closed_form
    from dovetail.closed_form import deployment_of, parse_bounds
    from sim.network import parse_network_latency
    from sim.profile import load_profile
    from sim.run import Gateway, SimulatedCluster, check_fit
    from traces.files import load_workload
    from traces.validation import require_stages

    profile = load_profile(options["profile"])
    cluster = SimulatedCluster(profile, options["num_engines"], engine_settings(profile, options))
    latency = parse_network_latency(options["network_latency"])
    gateway = Gateway(options["window"], options["orchestration"], latency)
    bounds = parse_bounds(options["bounds"])
    loaded = load_workload(workload)
    require_stages(bounds, loaded, source=str(workload))
    check_fit(loaded, cluster.settings, source=str(workload))
    cost = profile.step_cost(cluster.settings.async_scheduling)
    prediction = closed_form(loaded, cost, deployment_of(loaded, cluster, gateway, bounds))
    print(json.dumps(prediction.to_dict(), indent=2) if options["as_json"] else "\n".join(prediction.lines()))
