"""`dovetail suite`: many runs, one after the other, simulated or on real engines."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dovetail.backends import device_options, make_vllm_engines, require_installed
from dovetail.options import given_limits
from dovetail.setting import composed, engine_settings, gateway, load_policies
from dovetail.suite_spec import SuiteRun, load_suite

if TYPE_CHECKING:
    from policies.load import LoadedPolicy
    from realexec.series import Job
    from traces.records import RunRecords
    from traces.workload import Workload


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
    runs = _chosen(load_suite(spec), only, spec)
    # Whatever can be known to be wrong is said before anything runs.
    prepared = {run.name: _prepared(run, options["profile"] if simulated else None) for run in runs}
    if simulated:
        _simulate_all(runs, prepared, options, out)
    else:
        _measure_all(runs, prepared, options, out)


def _chosen(runs: Sequence[SuiteRun], only: Sequence[str], spec: Path) -> Sequence[SuiteRun]:
    names = {run.name for run in runs}
    for name in only:
        if name not in names:
            raise ValueError(f"--only {name!r} is not in {spec}; it has {', '.join(sorted(names))}")
    return [run for run in runs if not only or run.name in only]


def _prepared(run: SuiteRun, profile: str | None) -> Workload:
    from sim.profile import load_profile
    from traces.files import load_workload
    from traces.fit import check_fit

    workload = load_workload(run.workload)
    if profile is not None:
        check_fit(workload, engine_settings(load_profile(profile), run.options), source=str(run.workload))
    composed(load_policies(run.options), workload, source=str(run.workload))
    gateway(run.options)
    return workload


def _pending(run: SuiteRun, out: Path, repeats: int) -> Iterator[Path]:
    """Run directories that are not there, or not complete."""
    for repeat in range(repeats):
        directory = out / run.name / str(repeat)
        manifest = directory / "manifest.json"
        if not (manifest.exists() and json.loads(manifest.read_text())["complete"]):
            yield directory


def _policy(run: SuiteRun, workload: Workload) -> LoadedPolicy:
    """A fresh policy: it may learn while it runs."""
    return composed(load_policies(run.options), workload, source=str(run.workload))


def _write(run: SuiteRun, policy: LoadedPolicy, records: RunRecords, directory: Path) -> None:
    from analysis.metrics import makespan
    from dovetail.output import staged, uninterrupted
    from dovetail.results import complete_manifest
    from traces.records import write_run

    with uninterrupted(), staged(directory, overwrite=True) as folder:
        complete_manifest(records, policy, run.options["seed"])
        records.manifest["suite"] = {"name": run.name, "line": run.line}
        write_run(folder, records)
    done = int((records.calls["status"] == "ok").sum())
    print(
        f"{directory}: {done:,} of {len(records.calls):,} calls, makespan {makespan(records.calls):.3f} s", flush=True
    )


def _simulate_all(runs: Sequence[SuiteRun], workloads: dict[str, Workload], options: dict[str, Any], out: Path) -> None:
    from sim.profile import load_profile
    from sim.run import SimulatedCluster, simulate

    profile = load_profile(options["profile"])
    for run in runs:
        for directory in _pending(run, out, 1):
            policy = _policy(run, workloads[run.name])
            cluster = SimulatedCluster(profile, run.options["num_engines"], engine_settings(profile, run.options))
            records = simulate(workloads[run.name], policy.policy, cluster, gateway(run.options))
            _write(run, policy, records, directory)


def _measure_all(runs: Sequence[SuiteRun], workloads: dict[str, Workload], options: dict[str, Any], out: Path) -> None:
    from realexec.series import measure_series
    from realexec.session import run as run_session

    require_installed({**options, "endpoints": ()})
    for _, group in groupby(runs, key=_engines_of):
        same = list(group)
        jobs = list(_jobs(same, workloads, out))
        if not jobs:
            continue
        with tempfile.TemporaryDirectory(prefix="dovetail-suite-") as folder:
            wanted = {**options, **same[0].options}
            backends = make_vllm_engines(wanted, load_policies(same[0].options), Path(folder))
            if not run_session(measure_series(backends, jobs)):
                print("dovetail: the last run is not complete; the suite ends here", file=sys.stderr)
                sys.exit(1)


def _engines_of(run: SuiteRun) -> tuple[object, ...]:
    """What decides whether two runs can use the same engines."""
    options = run.options
    policy = (options["policy"], options["policy_args"], options["seed"]) if options["order"] == "engine" else None
    return options["num_engines"], options["order"], policy, sorted(given_limits(options).items())


def _jobs(runs: Sequence[SuiteRun], workloads: dict[str, Workload], out: Path) -> Iterator[Job]:
    from realexec.series import Job

    for run in runs:
        for directory in _pending(run, out, run.repeats):
            policy = _policy(run, workloads[run.name])

            def done(records: RunRecords, run: SuiteRun = run, policy: Any = policy, to: Path = directory) -> None:
                _write(run, policy, records, to)

            yield Job(workloads[run.name], policy.policy, gateway(run.options), done)
