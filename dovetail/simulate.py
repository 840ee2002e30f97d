"""`dovetail simulate`: a workload on simulated engines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dovetail.options import (
    engines_option,
    gateway_options,
    limit_options,
    policy_options,
    profile_option,
    run_directory_options,
    workload_argument,
)
from dovetail.setting import composed, engine_settings, gateway, load_policies

if TYPE_CHECKING:
    from sim.profile import Profile
    from sim.run import SimulatedCluster


@click.command()
@workload_argument
@policy_options
@engines_option
@profile_option
@gateway_options
@limit_options
@click.option(
    "--engine",
    type=click.Choice(["native", "reference"]),
    default="native",
    show_default=True,
    help="reference: vLLM's own scheduler (docs/lockstep.md); slower, with the same records.",
)
@click.option("--step-by-step", is_flag=True, help="Visit every step; slower, with the same records.")
@click.option(
    "--uncertainty",
    type=click.IntRange(2),
    metavar="DRAWS",
    help="Simulate so often more, with step costs drawn from the profile's fit, for intervals (uncertainty.csv).",
)
@run_directory_options
def simulate(workload: Path, out: Path, **options: Any) -> None:
    """Simulate WORKLOAD and write a run directory.

    The directory gets manifest.json and the tables calls, steps and decisions. It must be new or empty; with
    --overwrite an earlier run directory is replaced once the new one is written. Ctrl-C ends the simulation and writes
    what was done by then, marked incomplete; with --overwrite that, too, replaces the earlier run.
    """
    from dovetail.intervals import intervals, print_intervals, rerun
    from dovetail.output import progress, staged, terminated_like_interrupted
    from dovetail.results import complete_manifest, print_summary
    from sim.run import simulate as run
    from traces.files import load_workload
    from traces.fit import check_fit
    from traces.records import write_run

    cluster, entry = _cluster(options), gateway(options)
    profiles, uncertain = _drawn(cluster, options), None
    policies = load_policies(options)
    loaded = load_workload(workload)
    policy = composed(policies, loaded, source=str(workload))
    check_fit(loaded, cluster.settings, source=str(workload))
    with staged(out, overwrite=options["overwrite"]) as directory:
        with terminated_like_interrupted(), progress("simulating", loaded) as on_progress:
            records = run(loaded, policy.policy, cluster, entry, on_progress)
        complete_manifest(records, policy, options["seed"])
        write_run(directory, records, csv=options["csv"])
        if profiles and records.manifest["complete"]:
            uncertain = intervals(records, rerun(loaded, lambda: load_policies(options), cluster, entry, profiles))
            uncertain.to_csv(directory / "uncertainty.csv", index=False)
    if warnings := records.manifest["warnings"]:
        print(f"dovetail: warning: {'; '.join(warnings)}", file=sys.stderr)
    print_summary(records, as_json=options["as_json"])
    if uncertain is not None and not options["as_json"]:
        print_intervals(uncertain)
    if not records.manifest["complete"]:
        print(f"dovetail: interrupted; what was done by then is in {out}", file=sys.stderr)
        sys.exit(130)


def _cluster(options: dict[str, Any]) -> SimulatedCluster:
    """Engines from the parsed options."""
    from sim.profile import load_profile
    from sim.run import SimulatedCluster

    profile = load_profile(options["profile"])
    engine = {"skip": not options["step_by_step"], "reference": options["engine"] == "reference"}
    return SimulatedCluster(profile, options["num_engines"], engine_settings(profile, options), **engine)


def _drawn(cluster: SimulatedCluster, options: dict[str, Any]) -> list[Profile]:
    """Profiles drawn from the fit, where that is asked for."""
    import numpy as np

    from sim.uncertainty import drawn_profiles

    if options["uncertainty"] is None:
        return []
    return list(drawn_profiles(cluster.profile, options["uncertainty"], np.random.default_rng(options["seed"])))
