"""Runs of a suite, one after the other: what `dovetail suite` and `dovetail validate` have in common."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.backends import make_vllm_engines, require_installed
from dovetail.options import given_limits
from dovetail.setting import composed, engine_settings, gateway, load_policies
from dovetail.suite_spec import SuiteRun
from traces.wording import counted

if TYPE_CHECKING:
    from policies.load import LoadedPolicy
    from realexec.series import Job
    from traces.records import RunRecords
    from traces.workload import Workload


def prepared(run: SuiteRun, profile: str | None) -> Workload:
    """The workload of a run, once everything that can be known to be wrong with the run has been looked for.

    Parameters
    ----------
    run : SuiteRun
    profile : str, optional
        Name or file of the engines' profile; None for a GPU, whose limits are known when the engine runs.

    Raises
    ------
    ValueError
        When workload, policy or gateway are not valid, or a call can never fit.
    """
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
    from traces.records import read_manifest

    for repeat in range(repeats):
        directory = out / run.name / str(repeat)
        if not ((directory / "manifest.json").exists() and read_manifest(directory).get("complete")):
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
    where = f"{run.name}/{directory.name}"
    print(
        f"{where}: {done:,} of {counted(len(records.calls), 'call')}, makespan {makespan(records.calls):.3f} s",
        flush=True,
    )


def simulate_runs(runs: Sequence[SuiteRun], workloads: Mapping[str, Workload], profile: str, out: Path) -> None:
    """Simulate every run once, into `out`/NAME/0; those that are there and complete are left alone.

    Parameters
    ----------
    runs : sequence of SuiteRun
    workloads : mapping of str to Workload
        By the name of the run (`prepared`).
    profile : str
        Name or file.
    out : Path
    """
    from sim.profile import load_profile
    from sim.run import SimulatedCluster, simulate

    loaded = load_profile(profile)
    for run in runs:
        for directory in _pending(run, out, 1):
            policy = _policy(run, workloads[run.name])
            cluster = SimulatedCluster(loaded, run.options["num_engines"], engine_settings(loaded, run.options))
            records = simulate(workloads[run.name], policy.policy, cluster, gateway(run.options))
            _write(run, policy, records, directory)


def measure_runs(
    runs: Sequence[SuiteRun], workloads: Mapping[str, Workload], options: dict[str, Any], out: Path
) -> bool:
    """Measure every repeat of every run, into `out`/NAME/0, 1, ...; those that are there and complete are left alone.

    Parameters
    ----------
    runs : sequence of SuiteRun
        Neighbours that need the same engines share them.
    workloads : mapping of str to Workload
    options : dict
        `dovetail.backends.device_options`, parsed.
    out : Path

    Returns
    -------
    bool
        Whether every run was complete; the first that is not ends the series.

    Raises
    ------
    ValueError
        When vLLM is not installed.
    EngineFailure
        When an engine does not come up.
    """
    require_installed({**options, "endpoints": ()})
    for _, group in groupby(runs, key=_engines_of):
        if not _measure_on_the_same(list(group), workloads, options, out):
            return False
    return True


def _measure_on_the_same(
    runs: Sequence[SuiteRun], workloads: Mapping[str, Workload], options: dict[str, Any], out: Path
) -> bool:
    """Measure runs on engines that stay up between them."""
    from realexec.series import measure_series
    from realexec.session import run as run_session

    jobs = list(_jobs(runs, workloads, out))
    if not jobs:
        return True
    with tempfile.TemporaryDirectory(prefix="dovetail-suite-") as folder:
        backends = make_vllm_engines({**options, **runs[0].options}, load_policies(runs[0].options), Path(folder))
        return run_session(measure_series(backends, jobs))


def _engines_of(run: SuiteRun) -> tuple[object, ...]:
    """What decides whether two runs can use the same engines."""
    options = run.options
    policy = (options["policy"], options["policy_args"], options["seed"]) if options["order"] == "engine" else None
    return options["num_engines"], options["order"], policy, sorted(given_limits(options).items())


def _jobs(runs: Sequence[SuiteRun], workloads: Mapping[str, Workload], out: Path) -> Iterator[Job]:
    from realexec.series import Job

    for run in runs:
        for directory in _pending(run, out, run.repeats):
            policy = _policy(run, workloads[run.name])

            def done(records: RunRecords, run: SuiteRun = run, policy: Any = policy, to: Path = directory) -> None:
                _write(run, policy, records, to)

            yield Job(workloads[run.name], policy.policy, gateway(run.options), done)
