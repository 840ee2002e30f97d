"""`dovetail simulate`: a workload on simulated engines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dovetail.options import cluster_options, engine_settings, workload_argument

if TYPE_CHECKING:
    from policies.load import LoadedPolicy
    from sim.run import Gateway, SimulatedCluster
    from traces.records import RunRecords


@click.command()
@workload_argument
@click.option("--policy", default="fifo", show_default=True, help="A policy of the project, or module:Class.")
@click.option("--policy-arg", "policy_args", multiple=True, metavar="KEY=VALUE", help="As bounds=map=8,reduce=2.")
@click.option("--routing", help="Take the choice of engine from this policy, the order from --policy.")
@click.option("--routing-arg", "routing_args", multiple=True, metavar="KEY=VALUE")
@cluster_options
@click.option("--view-staleness", type=float, default=0.0, show_default=True, help="Age of engine views, seconds.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of network and policy.")
@click.option(
    "--engine",
    type=click.Choice(["native", "reference"]),
    default="native",
    show_default=True,
    help="reference: vLLM's own scheduler (docs/lockstep.md); slower, with the same records.",
)
@click.option("--step-by-step", is_flag=True, help="Visit every step; slower, with the same records.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Run directory to write.")
@click.option("--overwrite", is_flag=True, help="Replace the run directory that is there.")
@click.option("--csv", is_flag=True, help="Write each table as CSV, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON instead of tables.")
def simulate(workload: Path, out: Path, **options: Any) -> None:
    """Simulate WORKLOAD and write a run directory.

    The directory gets manifest.json and the tables calls, steps and decisions. It must be new or empty; with
    --overwrite an earlier run directory is replaced once the new one is written. Ctrl-C ends the simulation and writes
    what was done by then, marked incomplete; with --overwrite that, too, replaces the earlier run.
    """
    from dovetail.output import print_summary, progress, staged, terminated_like_interrupted
    from policies.stage_priority import StagePriority
    from sim.run import check_fit
    from sim.run import simulate as run
    from traces.files import load_workload
    from traces.records import write_run
    from traces.validation import require_stages

    cluster, gateway = _setting(options)
    policies = _policies(options)
    loaded = load_workload(workload)
    for each in policies:
        if isinstance(each.policy, StagePriority):
            require_stages(each.policy.bounds, loaded, source=str(workload))
    policy = _composed(policies)
    check_fit(loaded, cluster.settings, source=str(workload))
    with staged(out, overwrite=options["overwrite"]) as directory:
        with terminated_like_interrupted(), progress("simulating", loaded) as on_progress:
            records = run(loaded, policy.policy, cluster, gateway, on_progress)
        _complete_manifest(records, policy, options["seed"])
        write_run(directory, records, csv=options["csv"])
    if warnings := records.manifest["warnings"]:
        print(f"dovetail: warning: {'; '.join(warnings)}", file=sys.stderr)
    print_summary(records, as_json=options["as_json"])
    if not records.manifest["complete"]:
        print(f"dovetail: interrupted; what was done by then is in {out}", file=sys.stderr)
        sys.exit(130)


def _setting(options: dict[str, Any]) -> tuple[SimulatedCluster, Gateway]:
    """Cluster and gateway from the parsed options."""
    from sim.network import parse_network_latency
    from sim.profile import load_profile
    from sim.run import Gateway, SimulatedCluster

    profile = load_profile(options["profile"])
    settings = engine_settings(profile, options)
    gateway = Gateway(
        window=options["window"],
        orchestration=options["orchestration"],
        network_latency=parse_network_latency(options["network_latency"]),
        view_staleness=options["view_staleness"],
        seed=options["seed"],
    )
    engine = {"skip": not options["step_by_step"], "reference": options["engine"] == "reference"}
    return SimulatedCluster(profile, options["num_engines"], settings, **engine), gateway


def _policies(options: dict[str, Any]) -> list[LoadedPolicy]:
    """The policy, and the one to take the routing from where that is asked for."""
    from policies.load import load_policy

    policies = [load_policy(options["policy"], options["policy_args"], seed=options["seed"])]
    if options["routing"] is not None:
        policies.append(load_policy(options["routing"], options["routing_args"], seed=options["seed"]))
    elif options["routing_args"]:
        raise click.UsageError("--routing-arg needs --routing", click.get_current_context())
    return policies


def _composed(policies: Sequence[LoadedPolicy]) -> LoadedPolicy:
    """A single policy as it is; of two, the order of the first with the routing of the second."""
    from policies.compose import compose
    from policies.load import LoadedPolicy

    if len(policies) == 1:
        return policies[0]
    order, routing = policies
    parameters = {"order": order.parameters, "routing": routing.parameters}
    return LoadedPolicy(compose(order.policy, routing.policy), f"{order.name} + {routing.name}", parameters)


def _complete_manifest(records: RunRecords, policy: LoadedPolicy, seed: int) -> None:
    """What only the command line knows: its own words, and where the policy came from."""
    records.manifest["command"] = ["dovetail", *sys.argv[1:]]
    records.manifest["policy"] |= {
        "name": policy.name,
        "parameters": json.loads(json.dumps(policy.parameters, default=str)),
    }
    records.manifest["seeds"]["policy"] = seed
