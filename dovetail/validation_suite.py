"""The runs of `dovetail validate --policies`: every workload, policy and seed, simulated and measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from dovetail.suite_runs import measure_runs, prepared, simulate_runs
from dovetail.suite_spec import SuiteRun

#: Folders of the runs.
SIMULATED, MEASURED = "simulated", "measured"

#: What `dovetail.options.policy_options` would say; a policy with parameters is for a suite.
_PLAIN = {"policy_args": (), "routing": None, "routing_args": ()}


def run_both(workloads: Sequence[Path], policies: str, num_seeds: int, options: dict[str, Any], out: Path) -> None:
    """Simulate and measure policies on workloads; run directories that are there and complete are left alone.

    Parameters
    ----------
    workloads : sequence of Path
        Files.
    policies : str
        Names, separated by commas.
    num_seeds : int
        Seeds 0, 1, ... of network and policy.
    options : dict
        Engines, client and limits, parsed (`dovetail.options`, `dovetail.backends`).
    out : Path
        Gets the folders `SIMULATED` and `MEASURED`.

    Raises
    ------
    ValueError
        When a policy or workload is not valid, or vLLM is not installed.
    EngineFailure
        When an engine does not come up.
    RuntimeError
        When a measured run is not complete.
    """
    runs = _runs(workloads, _names(policies), num_seeds, options)
    loaded = {run.name: prepared(run, options["profile"]) for run in runs}
    with redirect_stdout(sys.stderr):  # progress; standard output is for the verdict
        simulate_runs(runs, loaded, options["profile"], out / SIMULATED)
        if not measure_runs(runs, loaded, options, out / MEASURED):
            raise RuntimeError("the last run is not complete; the same command continues from there")


def _names(policies: str) -> list[str]:
    names = [name.strip() for name in policies.split(",")]
    if len(set(names)) < 2 or len(set(names)) < len(names) or not all(names):
        raise ValueError(f"--policies {policies!r} must be two or more different policies, separated by commas")
    return names


def _runs(
    workloads: Sequence[Path], policies: Sequence[str], num_seeds: int, options: dict[str, Any]
) -> list[SuiteRun]:
    """Seeds in the outer loop: what drifts while engines run then meets all policies alike."""
    stems = [path.name.split(".")[0] for path in workloads]
    if len(set(stems)) < len(stems):
        raise ValueError(f"workloads {', '.join(map(str, workloads))}: their names become folders and must differ")
    return [
        _run(path, f"{stem}/{policy.replace(':', '.')}/seed-{seed}", {**options, "policy": policy, "seed": seed})
        for seed in range(num_seeds)
        for path, stem in zip(workloads, stems, strict=True)
        for policy in policies
    ]


def _run(workload: Path, name: str, options: dict[str, Any]) -> SuiteRun:
    line = f"{workload} --policy {options['policy']} --seed {options['seed']}"
    return SuiteRun(name, line, workload, 1, {**options, **_PLAIN})
