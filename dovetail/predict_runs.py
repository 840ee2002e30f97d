"""The closed form beside runs of its workload: rounds x steps x step time, the closed form, simulated, measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.comparison.manifests import hardware, is_virtual
from analysis.gap import envelope, explain_runs
from analysis.metrics import makespan
from analysis.prediction import Prediction, Term, predict
from analysis.tables import SECONDS, Unit, table, terms_table
from dovetail.closed_form import deployment_of
from policies.gateway import Gateway
from policies.network import parse_network_latency
from sim.run import SimulatedCluster, settings_of
from sim.settings import EngineSettings
from traces.files import workload_hash
from traces.records import read_run

if TYPE_CHECKING:
    from rich.table import Table

    from sim.profile import Profile
    from traces.workload import Workload

_NOTE = (
    "Estimate: rounds x output tokens x the step of one call alone, without context. Closed form and estimate take "
    "step times from profile {profile}; its error is part of what the closed form does not explain."
)


@dataclass(frozen=True, slots=True)
class BesideRuns:
    """A closed form and the runs it speaks of.

    Parameters
    ----------
    profile : str
        Whose step times it takes.
    prediction : Prediction
    runs : pandas.DataFrame
        One row a run: `run`, `kind` ("simulation", "virtual device" or "measurement"), `engines`, `makespan` in seconds
        and the relative `closed_form_error`.
    terms : list of Term
        From the estimate to the last kind of run, in sum its mean makespan.
    """

    profile: str
    prediction: Prediction
    runs: pd.DataFrame
    terms: list[Term]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        rows = self.runs.to_dict("records")
        return {
            **self.prediction.to_dict(),
            "profile": self.profile,
            "runs": rows,
            "gap": list(map(asdict, self.terms)),
        }


def beside_runs(workload: Workload, directories: Sequence[Path], profile: Profile) -> BesideRuns:
    """Put the closed form of a workload beside its runs.

    Parameters
    ----------
    workload : Workload
    directories : sequence of Path
        Run directories with the same settings, which become those of the closed form.
    profile : Profile

    Raises
    ------
    ValueError
        When a run is of another workload, incomplete, or has other settings than the first; or when the closed form
        does not apply.
    """
    found = {directory: read_run(directory) for directory in directories}
    settings = {directory: _settings(records.manifest, workload, directory) for directory, records in found.items()}
    first, *others = directories
    for directory in others:
        for name, value in settings[directory].items():
            if value != settings[first][name]:
                raise ValueError(f"{directory}: {name} {value} differs from the {settings[first][name]} of {first}")
    cost, prediction = _predicted(workload, profile, settings[first])
    rows = [
        {"run": str(directory), "kind": _kind(each.manifest), "engines": hardware(each.manifest), "makespan": seconds}
        for directory, each in found.items()
        for seconds in [makespan(each.calls)]
    ]
    runs = pd.DataFrame(rows)
    terms = explain_runs(prediction, envelope(prediction, cost), _means(runs))
    runs["closed_form_error"] = prediction.seconds / runs["makespan"] - 1
    return BesideRuns(profile.name, prediction, runs, terms)


def runs_table(found: BesideRuns) -> list[Table]:
    """The runs, and the terms that lead to them, for a terminal."""
    shown = found.runs.drop(columns="engines").rename(columns={"closed_form_error": "closed form"})
    units = {"makespan": SECONDS, "closed form": Unit("%", 1e2, 2, signed=True)}
    title = f"{found.prediction.workload}: closed form {found.prediction.seconds:.3f} s, and its error"
    of_kinds = found.runs.drop_duplicates("kind")
    engines = "\n".join(f"{kind}: {name}" for kind, name in zip(of_kinds["kind"], of_kinds["engines"], strict=True))
    note = _NOTE.format(profile=found.profile)
    return [
        table(shown, units, title=title, caption=engines),
        terms_table(found.terms, title="From an estimate to the runs", caption=note),
    ]


def _settings(manifest: Mapping[str, Any], workload: Workload, directory: Path) -> dict[str, Any]:
    """What the closed form must know of a run."""
    names = ("num_engines", "window", "network_latency", "orchestration")
    for name in ("complete", "workload", "policy", "engine_settings", *names):
        if name not in manifest:
            raise ValueError(f"{directory}: manifest.json has no {name!r}, which the closed form must know")
    if not manifest["complete"]:
        raise ValueError(f"{directory}: this run is incomplete, so its makespan says nothing")
    if manifest["workload"]["hash"] != workload_hash(workload):
        raise ValueError(f"{directory}: ran {manifest['workload']['name']!r}, another workload than {workload.name!r}")
    engine = manifest["engine_settings"]
    if isinstance(engine, list):
        raise ValueError(f"{directory}: its engines differ, and the closed form knows only equal ones")
    bounds = (manifest["policy"].get("parameters") or {}).get("bounds")
    limits = {name: engine[name] for name in EngineSettings.__slots__ if name != "num_blocks" and name in engine}
    return {name: manifest[name] for name in names} | {"bounds": bounds or {}, "limits": limits}


def _predicted(workload: Workload, profile: Profile, settings: Mapping[str, Any]) -> tuple[float, Prediction]:
    """Step time of one call alone, seconds, and the closed form."""
    cluster = SimulatedCluster(profile, settings["num_engines"], settings_of(profile, **settings["limits"]))
    latency = parse_network_latency(settings["network_latency"])
    gateway = Gateway(window=settings["window"], orchestration=settings["orchestration"], network_latency=latency)
    cost = profile.step_cost(cluster.settings.async_scheduling)
    deployment = deployment_of(workload, cluster, gateway, settings["bounds"])
    return cost.step(1, 0, ()), predict(workload, cost, deployment)


def _kind(manifest: Mapping[str, Any]) -> str:
    if manifest["backend"] == "sim":
        return "simulation"
    return "virtual device" if is_virtual(manifest) else "measurement"


def _means(runs: pd.DataFrame) -> list[tuple[str, float]]:
    """Mean makespan of each kind of run, simulations first."""
    means = runs.groupby("kind")["makespan"].mean()
    return [(kind, float(means[kind])) for kind in ("simulation", "virtual device", "measurement") if kind in means]
