"""Simulated beside measured: five load shapes that a real vLLM 0.24.0 ran on one H100.

The runs are this project's own (data/measured_h100_13b, Llama-13B shape, fp16, random weights, asynchronous scheduling,
prefix caching on). Each is simulated under the limits that the engine itself reported. No run contributed anything to
the profile `h100-llama-13b`, which was calibrated on another H100.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import pandas as pd

from policies.fifo import Fifo
from policies.gateway import Gateway
from reproduce.run_figures import compared, times
from sim.profile import Profile, load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.workload import Application, Call, Segment, Workload, output_of, text

PROFILE = "h100-llama-13b"

_SCENARIOS = ("chain_lat0", "mr15_w2", "burst128", "poisson_r5", "chat24")


def load_scenario(name: str) -> dict[str, Any]:
    """One measured scenario: `definition`, `engine` limits and `runs`, as written by the measurement."""
    packed = files("reproduce").joinpath(f"data/measured_h100_13b/{name}.json.gz").read_bytes()
    scenario: dict[str, Any] = json.loads(gzip.decompress(packed))
    return scenario


def scenario_workload(scenario: dict[str, Any]) -> Workload:
    """The calls of a scenario; random text becomes a segment named by its seed."""
    return Workload(scenario["name"], tuple(_application(app) for app in scenario["definition"]["apps"]))


def rows(profile: str = PROFILE) -> pd.DataFrame:
    """One row a scenario: simulated and measured makespan, latency, TTFT, steps and preemptions.

    Parameters
    ----------
    profile : str
        Name of a shipped profile, or a file.

    Returns
    -------
    pandas.DataFrame
        Columns of `reproduce.run_figures.compared`, and counts. Measured steps are all messages of the engine core, an
        empty step's among them (`reproduce.schedules` has the range).
    """
    loaded = load_profile(profile)
    return pd.DataFrame([_row(name, loaded) for name in _SCENARIOS])


def _application(app: dict[str, Any]) -> Application:
    if app["latency"]:
        raise ValueError(f"app {app['id']!r}: latency={app['latency']} must be 0: the network is not simulated here")
    calls = tuple(
        Call(
            id=call["id"],
            prompt=tuple(_segment(part) for part in call["prompt"]),
            output_tokens=call["olen"],
            stage=call["stage"],
            deps=tuple(call["deps"]),
            delay=call.get("think", 0.0),
        )
        for call in app["calls"]
    )
    return Application(app["id"], app["arrival"], calls)


def _segment(part: list[Any]) -> Segment:
    return text(f"random-{part[1]}", part[2]) if part[0] == "rand" else output_of(part[1])


def _row(name: str, profile: Profile) -> dict[str, Any]:
    scenario = load_scenario(name)
    limits = scenario["engine"]
    settings = settings_of(
        profile,
        num_blocks=limits["num_gpu_blocks"],
        block_size=limits["block_size"],
        async_scheduling=limits["async_scheduling"],
        max_num_batched_tokens=limits["max_num_batched_tokens"],
        max_num_seqs=limits["max_num_seqs"],
    )
    gateway = Gateway(window=scenario["definition"]["window"])
    records = simulate(scenario_workload(scenario), Fifo(), SimulatedCluster(profile, 1, settings), gateway)
    row: dict[str, Any] = {"run": name, "calls": len(records.calls)}
    row |= compared(times(records.calls), [times(_measured(run, scenario)) for run in scenario["runs"]])
    return row | {
        "steps measured": _joined(len(run["iters"]) for run in scenario["runs"]),
        "steps simulated": int(records.steps["count"].sum()),
        "preemptions measured": _joined(run["preempted"] for run in scenario["runs"]),
        "preemptions simulated": int(records.calls["num_preemptions"].sum()),
    }


def _joined(values: Iterable[int]) -> str:
    """The repeats' values."""
    return "/".join(map(str, values))


def _measured(run: dict[str, Any], scenario: dict[str, Any]) -> pd.DataFrame:
    """Calls of a measured run, with the columns of records."""
    names = {"submit": "submitted_at", "first": "first_token_at", "finish": "finished_at"}
    arrivals = {app["id"]: app["arrival"] for app in scenario["definition"]["apps"]}
    calls = pd.DataFrame(run["rows"]).rename(columns=names)
    return calls.assign(app_arrived_at=calls["app"].map(arrivals))
