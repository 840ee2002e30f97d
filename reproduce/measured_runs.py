"""Runs that a real vLLM 0.24.0 did on H100s and H200s, and the simulation of each from its manifest alone.

The run directories are those of `dovetail suite` (data/measured_*: random weights, one folder for each card, model
and number of GPUs that an engine has). A manifest holds all that a simulation needs: the workload's hash, policy with
parameters, gateway, engine limits and seeds. Directories whose manifests agree in these are repeats of one experiment,
whatever they are called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from policies.gateway import Gateway
from policies.load import find_policy_class
from policies.network import parse_network_latency
from sim.profile import Profile
from sim.run import SimulatedCluster, settings_of, simulate
from sim.settings import EngineSettings
from traces.files import load_workload, workload_hash
from traces.records import RunRecords, read_manifest
from traces.workload import Workload

#: That of most runs. Like all calibrated profiles it was fitted to the points of a calibration; no run took part.
PROFILE = "h200-llama-13b"

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Experiment:
    """What was run, and the directories with its repeats.

    Parameters
    ----------
    name : str
        Its line of the suite; of several lines that say the same, the first.
    manifest : dict
        Of the first repeat; all agree in what `_identity` takes from it.
    repeats : tuple of Path
        Run directories.
    """

    name: str
    manifest: dict[str, Any]
    repeats: tuple[Path, ...]


def experiments(profile: Profile, folder: str = "measured_*") -> list[Experiment]:
    """All that was measured with a profile's card, model and number of GPUs, one engine first, in order of the names.

    Parameters
    ----------
    profile : Profile
    folder : str
        Of `DATA`; or a pattern of several.

    Raises
    ------
    ValueError
        When nothing was.
    """
    paths = sorted(DATA.glob(f"{folder}/runs/*/*/manifest.json"))
    if not paths:
        known = ", ".join(sorted({path.parents[3].name for path in DATA.glob("measured_*/runs/*/*/manifest.json")}))
        raise ValueError(f"no measured runs in {folder}; there are {known}")
    manifests = {path.parent: read_manifest(path.parent) for path in paths}
    wanted = (profile.model.name.lower(), profile.tensor_parallel, card_of(profile.measurement.gpu))
    same: dict[str, list[Path]] = {}
    for directory, manifest in manifests.items():
        if _engine_kind(manifest) == wanted:
            same.setdefault(_identity(manifest), []).append(directory)
    if not same:
        kinds = ", ".join(map(_kind_text, sorted(set(map(_engine_kind, manifests.values())))))
        raise ValueError(f"profile {profile.name}: no run of {_kind_text(wanted)} was measured; measured were {kinds}")
    found = [Experiment(paths[0].parent.name, manifests[paths[0]], tuple(paths)) for paths in same.values()]
    return sorted(found, key=lambda each: (each.manifest["num_engines"], each.name))


def simulated(experiment: Experiment, profile: Profile) -> RunRecords:
    """The experiment on engines of a profile, with the manifest of `dovetail simulate`.

    Raises
    ------
    ValueError
        When the workload is not in the folder.
    """
    manifest = experiment.manifest
    policy = manifest["policy"]
    cluster = SimulatedCluster(profile, manifest["num_engines"], _settings(profile, manifest))
    made = find_policy_class(policy["name"])(**policy["parameters"])
    records = simulate(_workload(manifest["workload"]["hash"]), made, cluster, _gateway(manifest))
    records.manifest.update(policy=policy, seeds=manifest["seeds"])
    return records


def card_of(gpu: str) -> str:
    """The card in the name that its driver gives it: H100 of "NVIDIA H100 80GB HBM3"; the name where there is none."""
    found = re.search(r"\b[A-Z]\d+\b", gpu)
    return found[0] if found else gpu


def _engine_kind(manifest: Mapping[str, Any]) -> tuple[str, int, str]:
    """Built-in shape, named like the model of its profiles in lower case, tensor-parallel GPUs of the engines, card."""
    resolved = manifest["engine_settings"]
    return resolved["model"], resolved["tensor_parallel_size"], card_of(manifest["devices"][0])


def _kind_text(kind: tuple[str, int, str]) -> str:
    model, num_gpus, card = kind
    return f"{model} x{num_gpus} on {card}"


def _identity(manifest: Mapping[str, Any]) -> str:
    """What two repeats have in common."""
    names = ("policy", "num_engines", "window", "orchestration", "network_latency", "view_staleness", "seeds")
    return repr([manifest["workload"]["hash"], _limits(manifest), *(manifest[name] for name in names)])


def _limits(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Limits as the engine resolved them."""
    resolved = manifest["engine_settings"]
    return {name: resolved[name] for name in EngineSettings.__slots__}


def _settings(profile: Profile, manifest: Mapping[str, Any]) -> EngineSettings:
    return settings_of(profile, **_limits(manifest))


def _gateway(manifest: Mapping[str, Any]) -> Gateway:
    return Gateway(
        window=manifest["window"],
        orchestration=manifest["orchestration"],
        network_latency=parse_network_latency(manifest["network_latency"]),
        view_staleness=manifest["view_staleness"],
        seed=manifest["seeds"]["network"],
    )


def _workload(wanted: str) -> Workload:
    workloads = _workloads()
    if wanted not in workloads:
        raise ValueError(f"{DATA.name}: no workload has the hash {wanted}")
    return workloads[wanted]


@cache
def _workloads() -> dict[str, Workload]:
    """Every workload that was measured, by its hash."""
    loaded = [load_workload(path) for path in sorted(DATA.glob("measured_*/workloads/*.json.gz"))]
    return {workload_hash(workload): workload for workload in loaded}
