"""What a command says of a run: the rest of its manifest, its summary, and where its figures come from."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from analysis.summary import summarise
from analysis.tables import summary_tables
from dovetail.output import console
from policies.load import LoadedPolicy
from traces.records import RunRecords


def complete_manifest(records: RunRecords, policy: LoadedPolicy, seed: int) -> None:
    """Add what only the command line knows: its own words, and where the policy came from."""
    records.manifest["command"] = ["dovetail", *sys.argv[1:]]
    records.manifest["policy"] |= {
        "name": policy.name,
        "parameters": json.loads(json.dumps(policy.parameters, default=str)),
    }
    records.manifest["seeds"]["policy"] = seed


def print_summary(records: RunRecords, *, as_json: bool) -> None:
    """Print the summary of a run."""
    if not (records.calls["status"] == "ok").any():
        print("no call finished")
        return
    summary = summarise(records.calls, records.steps)
    if as_json:
        print(json.dumps(summary.to_dict(), indent=2))
        return
    out = console()
    for table in summary_tables(summary, caption=caption(records)):
        out.print(table)
        if table.caption:
            out.print()  # or it would run into the title of the next


def caption(records: RunRecords) -> str:
    """What was run, in one line: workload, policy, engines, and whether the times were simulated or measured."""
    manifest = records.manifest
    policy = manifest["policy"].get("name", manifest["policy"]["class"])
    blocks = manifest["engine_settings"]  # a list where engines differ
    blocks = [each["num_blocks"] for each in (blocks if isinstance(blocks, list) else [blocks])]
    return (
        f"{manifest['workload']['name']}; policy {policy}; {manifest['num_engines']} x {_engine(manifest)}, "
        f"{' and '.join(map(str, dict.fromkeys(blocks)))} KV blocks; {manifest['orchestration']}-side orchestration, "
        f"network latency {manifest['network_latency']} s; seed {manifest['seeds']['network']}; {origin(manifest)}"
    )


def origin(manifest: Mapping[str, Any]) -> str:
    """What the times of a run are: simulated, of vLLM on a virtual device, or measured."""
    if manifest["backend"] == "sim":
        return "simulated"
    if any(device.startswith("virtual") for device in manifest["devices"]):
        return "vLLM on a virtual device, step times modelled"
    if any(device.startswith("not told") for device in manifest["devices"]):
        return "measured at endpoints, on devices that they do not tell"
    return "measured"


def _engine(manifest: Mapping[str, Any]) -> str:
    """What an engine is: a profile, or the devices that were found."""
    if manifest["backend"] == "sim":
        return str(manifest["profile"])
    return " and ".join(dict.fromkeys(manifest["devices"]))
