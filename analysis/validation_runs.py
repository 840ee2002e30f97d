"""From folders of run directories to the table that `analysis.ranking` wants: simulated beside measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from analysis import metrics
from analysis.comparison.manifests import policy_of
from traces.records import read_manifest
from traces.wording import counted

#: Stands between the name of a policy and its parameters; no name has it.
_DETAILS = "\t"

#: Figures of merit, seconds, and what they are called.
MERIT_LABELS = {"jct": "mean JCT", "e2e": "mean E2E latency", "ttft": "mean TTFT", "makespan": "makespan"}


def find_runs(folder: Path) -> list[Path]:
    """Run directories at or below a folder, in order of their names.

    Raises
    ------
    ValueError
        When there is none.
    """
    found = sorted(path.parent for path in folder.rglob("manifest.json"))
    if not found:
        raise ValueError(f"{folder}: no run directory (no manifest.json) at or below it")
    return found


def validation_table(
    simulated: Sequence[Path], measured: Sequence[Path], merit: str = "jct", *, pool_workloads: bool = False
) -> pd.DataFrame:
    """Pair runs of one scenario, policy and seed.

    Parameters
    ----------
    simulated, measured : list of Path
        Run directories.
    merit : str
        A key of `MERIT_LABELS`.
    pool_workloads : bool
        Workloads of one name and as many applications are draws of one scenario, each a repeat of its own.

    Returns
    -------
    pandas.DataFrame
        Columns `analysis.ranking.COLUMNS`. A measurement that was repeated with one seed has several rows, all with the
        simulation of that seed. Runs without a counterpart are left out; `unpaired` in `attrs` names them.

    Raises
    ------
    ValueError
        When nothing pairs up, a run is incomplete, or two simulations of one experiment differ.
    """
    of_simulation: dict[tuple[str, str, str], tuple[Path, float]] = {}
    for directory in simulated:
        key, value = _experiment(directory, merit, pool_workloads)
        first, known = of_simulation.setdefault(key, (directory, value))
        if value != known:
            raise ValueError(f"{directory} and {first} simulate the same experiment, and differ")
    rows, paired, unpaired = [], set(), []
    for directory in measured:
        key, value = _experiment(directory, merit, pool_workloads)
        if key not in of_simulation:
            unpaired.append(str(directory))
            continue
        paired.add(key)
        rows.append((*key, of_simulation[key][1], value))
    if not rows:
        raise ValueError("no measured run has a simulated one of the same workload, engines, policy and seed")
    table = pd.DataFrame(rows, columns=["scenario", "policy", "seed", "simulated", "measured"])
    table["policy"] = _short_policies(table)
    turn = table.groupby(["scenario", "policy", "seed"]).cumcount().astype(str)
    table.insert(2, "repeat", table.pop("seed") + "." + turn)
    table.attrs["unpaired"] = unpaired + [str(path) for key, (path, _) in of_simulation.items() if key not in paired]
    return table


def figure_of_merit(calls: pd.DataFrame, merit: str) -> float:
    """Mean JCT, E2E latency or TTFT, or the makespan, of a run, seconds."""
    if merit == "makespan":
        return metrics.makespan(calls)
    per_row = {"jct": metrics.jct, "e2e": metrics.e2e, "ttft": metrics.ttft}[merit]
    return float(per_row(metrics.completed(calls) if merit != "jct" else calls).mean())


def _experiment(directory: Path, merit: str, pool_workloads: bool) -> tuple[tuple[str, str, str], float]:
    """Scenario, policy and seed of a run, and its figure of merit."""
    manifest = read_manifest(directory)
    if not manifest.get("complete"):
        raise ValueError(f"{directory}: this run is incomplete, and a policy cannot be judged by it")
    calls = pq.read_table(directory / "calls.parquet").to_pandas()
    workload = f" [{manifest['workload']['hash'][:6]}]"
    size = f", n = {manifest['workload']['num_applications']:,}"
    scenario, seed = _scenario(manifest, size if pool_workloads else workload), _seed(manifest)
    seed += workload if pool_workloads else ""
    return (scenario, _policy(manifest), seed), figure_of_merit(calls, merit)


def _scenario(manifest: Mapping[str, Any], which: str) -> str:
    """Workload, engines and client: what all policies of a comparison have in common.

    `which` of the workloads of that name: a hash, or a number of applications.
    """
    num_engines = manifest["num_engines"]
    engines = counted(num_engines, "engine")
    parts = [f"{manifest['workload']['name']}{which}", engines]
    if manifest["network_latency"] not in ("0", "0.0"):
        parts.append(f"network {manifest['network_latency']} s")
    if manifest["orchestration"] != "client":
        parts.append(f"{manifest['orchestration']}-side")
    return ", ".join(parts)


def _policy(manifest: Mapping[str, Any]) -> str:
    """Policy and the window it has: a policy may be worth something only with another window."""
    window = manifest["window"]
    policy = {**manifest["policy"], "parameters": _without_seeds(manifest["policy"].get("parameters") or {})}
    name, _, parameters = policy_of({"policy": policy}).partition(" (")
    details = [f"({parameters}"] if parameters else []
    return f"{name}{_DETAILS}{', '.join([*details, f'window {window}'])}"


def _without_seeds(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a policy that were given, but for seeds, which tell repeats apart and not policies."""
    return {
        name: _without_seeds(value) if isinstance(value, Mapping) else value
        for name, value in parameters.items()
        if name != "seed" and value is not None
    }


def _short_policies(table: pd.DataFrame) -> pd.Series:
    """Names of policies without parameters and window, where these tell no two of a scenario apart."""
    names = table["policy"].str.split(_DETAILS, n=1, regex=False).str[0]
    num_variants = table["policy"].groupby([table["scenario"], names]).transform("nunique")
    return names.where(num_variants == 1, table["policy"].str.replace(_DETAILS, " ", regex=False))


def _seed(manifest: Mapping[str, Any]) -> str:
    return "/".join(str(value) for _, value in sorted(manifest["seeds"].items()))


def without_hashes(full: Sequence[str]) -> list[str]:
    """Names of scenarios without the workload's hash, where they are still told apart."""
    short = [name.split(" [")[0] + name.partition("]")[2] for name in full]
    return short if len(set(short)) == len(set(full)) else list(full)
