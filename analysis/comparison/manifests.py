"""What two manifests have in common and where they differ; and the one line that says what a picture shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import pandas as pd

from traces.wording import counted

#: Entries that differ between any two runs and say nothing of what ran.
_INCIDENTAL = ("command", "started_at", "warnings")

#: Entries that must agree for a comparison to be about the backend alone, by what they are called in a remark.
_SAME = {
    "workload.hash": "workload",
    "policy.class": "policy",
    "policy.parameters": "policy parameters",
    "num_engines": "number of engines",
    "window": "window",
    "orchestration": "orchestration",
    "network_latency": "network latency",
    "view_staleness": "age of engine views",
    "seeds.network": "network seed",
    "seeds.policy": "policy seed",
    "engine_settings.num_blocks": "KV blocks",
    "engine_settings.block_size": "block size",
    "engine_settings.max_num_seqs": "max_num_seqs",
    "engine_settings.max_num_batched_tokens": "max_num_batched_tokens",
    "engine_settings.enable_prefix_caching": "prefix caching",
    "engine_settings.async_scheduling": "async scheduling",
    "engine_settings.scheduling_policy": "scheduling policy",
}


def flat(manifest: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Entries of a manifest as text, nested names joined by points.

    Examples
    --------
    >>> flat({"seeds": {"network": 0}, "complete": True})
    {'seeds.network': '0', 'complete': 'True'}
    """
    entries: dict[str, str] = {}
    for name, value in manifest.items():
        if isinstance(value, Mapping) and value:
            entries |= flat(value, f"{prefix}{name}.")
        else:
            entries[f"{prefix}{name}"] = str(value)
    return entries


def settings_table(simulated: Mapping[str, Any], measured: Mapping[str, Any]) -> pd.DataFrame:
    """Both manifests side by side: `setting`, `simulated`, `measured` and `differs`.

    A setting that only one run has is empty in the other's column and does not count as different.
    """
    left, right = flat(simulated), flat(measured)
    names = sorted({*left, *right})
    rows = [(name, left.get(name, ""), right.get(name, ""), _differs(name, left, right)) for name in names]
    return pd.DataFrame(rows, columns=["setting", "simulated", "measured", "differs"])


def differences(simulated: Mapping[str, Any], measured: Mapping[str, Any]) -> list[str]:
    """One line for each reason why the two runs are not the same experiment; none when they are."""
    left, right, second = flat(simulated), flat(measured), second_label(measured)
    lines = [
        f"{label} differs: simulated {left[name]}, {second} {right[name]}"
        for name, label in _SAME.items()
        if _differs(name, left, right)
    ]
    lines += _not_measured(simulated, measured)
    for role, manifest in (("simulated", simulated), (second, measured)):
        if manifest.get("complete") is False:
            lines.append(f"the {role} run is incomplete")
        lines += [f"{role} run: {warning}" for warning in manifest.get("warnings", ())]
        if faults := manifest.get("faults"):
            lines.append(f"{role} run: {counted(len(faults), 'fault')}; see its manifest")
    return lines


def is_virtual(manifest: Mapping[str, Any]) -> bool:
    """Whether a run was of a real engine that waits modelled step times."""
    return any(str(device).startswith("virtual") for device in manifest.get("devices", ()))


def second_label(*manifests: Mapping[str, Any]) -> str:
    """What to call runs that stand beside simulated ones: "measured" only where all were measured.

    Examples
    --------
    >>> second_label({"backend": "vllm", "devices": ["virtual (profile h100-llama-13b)"]})
    'virtual device'
    """
    if any(manifest.get("backend") == "sim" for manifest in manifests):
        return "second simulation"
    return "virtual device" if any(map(is_virtual, manifests)) else "measured"


def not_hardware(measured: Sequence[Mapping[str, Any]]) -> list[str]:
    """What keeps runs from being measurements of hardware, one line each; none when all are."""
    lines = []
    if any(manifest.get("backend") == "sim" for manifest in measured):
        lines.append("runs given as measured were simulated")
    if any(map(is_virtual, measured)):
        lines.append(
            "runs given as measured are of vLLM on a virtual device: its step times are modelled, not measured"
        )
    return lines


def _not_measured(simulated: Mapping[str, Any], measured: Mapping[str, Any]) -> list[str]:
    """What keeps the second run from being a measurement of hardware, and the first from being a simulation."""
    lines = []
    if measured.get("backend") == "sim":
        lines.append("the run given as measured was simulated")
    if is_virtual(measured):
        lines.append("the second run is of vLLM on a virtual device: its step times are modelled, not measured")
    if simulated.get("backend", "sim") != "sim":
        lines.append("the run given as simulated was measured")
    return lines


def describe(manifest: Mapping[str, Any]) -> str:
    """What ran, in one line: workload, policy, hardware, model, engine version and seed, where the manifest says."""
    return f"{_experiment(manifest)}; {_engines(manifest)}"


def caption(simulated: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """The line under a picture of two runs; what they have in common is said once."""
    label = second_label(measured).capitalize()
    if _experiment(simulated) != _experiment(measured):
        return f"Simulated: {describe(simulated)}. {label}: {describe(measured)}."
    return f"{_experiment(simulated)}. Simulated: {_engines(simulated)}. {label}: {_engines(measured)}."


def _experiment(manifest: Mapping[str, Any]) -> str:
    workload, seeds = manifest.get("workload", {}), manifest.get("seeds", {})
    name = workload.get("name", "unnamed workload")
    return f"{name}; policy {policy_of(manifest)}; seed {seeds.get('policy', seeds.get('network', 'not recorded'))}"


def _engines(manifest: Mapping[str, Any]) -> str:
    settings = _engine_settings(manifest)
    blocks = f", {settings['num_blocks']} KV blocks" if "num_blocks" in settings else ""
    return f"{manifest.get('num_engines', 'unknown number')} x {hardware(manifest)}{blocks}"


def policy_of(manifest: Mapping[str, Any]) -> str:
    """Name and parameters of the policy of a run."""
    policy = manifest.get("policy", {})
    parameters = ", ".join(f"{name}={_value(value)}" for name, value in (policy.get("parameters") or {}).items())
    name = policy.get("name", policy.get("class", "not recorded"))
    return f"{name} ({parameters})" if parameters else str(name)


def _value(value: object) -> str:
    """A parameter as it is written on the command line."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={each}" for name, each in value.items())
    return str(value)


def hardware(manifest: Mapping[str, Any]) -> str:
    """What the engines of a run are.

    Examples
    --------
    >>> hardware({"backend": "sim", "profile": "h100-llama-13b"})
    'profile h100-llama-13b'
    """
    if manifest.get("backend") == "sim":
        measured_on = manifest.get("profile_of", {})
        known = ", ".join(measured_on[name] for name in ("gpu", "model", "engine") if name in measured_on)
        return f"profile {manifest.get('profile')}{f' of {known}' if known else ''}"
    parts = [" and ".join(dict.fromkeys(manifest.get("devices", ("unnamed device",))))]
    parts += [PurePath(_engine_settings(manifest).get("model", "unnamed model")).name]  # vLLM's is a folder
    parts += [f"{name} {version}" for name, version in manifest.get("engine_versions", {}).items() if name == "vllm"]
    return ", ".join(parts)


def _engine_settings(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings of the engines; of the first, where they differ."""
    settings = manifest.get("engine_settings", {})
    first: Mapping[str, Any] = settings[0] if isinstance(settings, list) else settings
    return first


def _differs(name: str, left: Mapping[str, str], right: Mapping[str, str]) -> bool:
    is_incidental = name in _INCIDENTAL or name.startswith("versions.")
    return not is_incidental and name in left and name in right and left[name] != right[name]
