"""`dovetail demo`: the benchmark notes' map-reduce under three policies: simulated, predicted, and beside real vLLM."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dovetail.demo_cases import CASES, MARKER, PROFILE, Case, show

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from traces.records import RunRecords
    from traces.workload import Workload

_NUM_ENGINES = 4
_NETWORK_LATENCY = 0.25  # seconds, before every call

#: Load of the second table: applications, and their rate in applications a second.
_NUM_APPLICATIONS = 40
_RATE = 0.4


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory for records and pictures.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier demo there.")
@click.option("--simulate-only", is_flag=True, help="Leave out vLLM on the virtual device, which takes a minute.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows of the tables as JSON instead.")
def demo(out: Path, overwrite: bool, simulate_only: bool, as_json: bool) -> None:
    """Simulate the 4-GPU map-reduce of the benchmark notes under three policies.

    Where vLLM is installed, the demo ends with a smaller load on two engines, simulated and served by vLLM itself on a
    virtual device: everything is measured there but the step times, which are the profile's.
    """
    from analysis.comparison.compare import json_rows

    frames = _simulated_part(out, overwrite, printed=not as_json)
    if not simulate_only:
        from dovetail.demo_virtual import virtual_part

        rows = virtual_part(out / "virtual-device", printed=not as_json)
        frames |= {"virtual_device": rows} if rows is not None else {}
    if as_json:
        print(json.dumps({name: json_rows(frame) for name, frame in frames.items()}, indent=2))


def _simulated_part(out: Path, overwrite: bool, *, printed: bool) -> dict[str, pd.DataFrame]:
    """The notes' load on four engines: tables, records and pictures. Returns the tables' rows."""
    import numpy as np

    from dovetail.output import staged
    from traces.arrivals import poisson_arrivals
    from traces.generators.mapreduce import map_reduce

    single = map_reduce(30)
    several = map_reduce(30, poisson_arrivals(_RATE, _NUM_APPLICATIONS, np.random.default_rng(0)))
    with staged(out, overwrite=overwrite, marker=MARKER) as directory:
        started_at = time.perf_counter()
        runs = {name: _simulate(load) for name, load in (("single", single), ("several", several))}
        seconds = time.perf_counter() - started_at
        for name, records in runs.items():
            _write(directory / name, records)
        frames = {"single": _single_rows(single, runs["single"]), "several": _several_rows(runs["several"])}
        shown = (
            _single_table(frames["single"], _caption(next(iter(runs["single"].values())))),
            _several_table(frames["several"]),
            f"The simulations took {seconds:.2f} s. Records and pictures are in {out}.",
        )
        show(shown, directory, printed=printed)
    return frames


def _simulate(workload: Workload) -> dict[str, RunRecords]:
    """Records by case."""
    from policies.gateway import Gateway
    from policies.load import load_policy
    from policies.network import NetworkLatency
    from sim.profile import load_profile
    from sim.run import SimulatedCluster, settings_of, simulate

    profile = load_profile(PROFILE)
    cluster = SimulatedCluster(profile, _NUM_ENGINES, settings_of(profile))
    runs = {}
    for case in CASES:
        gateway = Gateway(window=case.window, network_latency=NetworkLatency("fixed", (_NETWORK_LATENCY,)))
        policy = load_policy(case.policy, case.arguments)
        runs[case.name] = simulate(workload, policy.policy, cluster, gateway)
    return runs


def _write(directory: Path, runs: Mapping[str, RunRecords]) -> None:
    """A run directory for each policy, and the pictures of all of them."""
    from analysis.plots import style
    from analysis.plots.cdf import latency_cdf
    from analysis.plots.gantt import gantt
    from traces.records import write_run

    for policy, records in runs.items():
        write_run(directory / policy, records)
    calls = {policy: records.calls for policy, records in runs.items()}
    caption = _caption(next(iter(runs.values())))
    style.save(latency_cdf(calls, caption=caption), directory / "latency_cdf", formats=("png",))
    style.save(gantt(calls, caption=caption), directory / "gantt", formats=("png",))


def _single_rows(workload: Workload, runs: Mapping[str, RunRecords]) -> pd.DataFrame:
    """Simulated, predicted and published completion time of one application."""
    import pandas as pd

    from analysis.metrics import jct

    rows = [
        {
            "policy": case.name,
            "calls per engine": case.limits,
            "JCT": float(jct(runs[case.name].calls).iloc[0]),
            "closed form": _closed_form(workload, case),
            "published": case.published,
        }
        for case in CASES
    ]
    return pd.DataFrame(rows)


def _single_table(rows: pd.DataFrame, caption: str) -> Table:
    from analysis.tables import SECONDS, Unit, table

    units = {"JCT": SECONDS, "closed form": SECONDS, "published": Unit("s", num_decimals=2)}
    note = (
        "Published: the notes' Parrot baseline and Parrot main, on Parrot's own engine and an unnamed GPU, not the "
        "engine simulated here. No two prompts share a KV block, so prefix-affinity has nothing to find."
    )
    return table(rows, units, title="One map-reduce application, 30 maps", caption=f"{caption}\n{note}\n")


def _closed_form(workload: Workload, case: Case) -> float:
    """Predicted makespan, seconds."""
    from analysis.prediction import predict
    from dovetail.closed_form import deployment_of
    from policies.gateway import Gateway
    from policies.network import NetworkLatency
    from sim.profile import load_profile
    from sim.run import SimulatedCluster, settings_of

    profile = load_profile(PROFILE)
    cluster = SimulatedCluster(profile, _NUM_ENGINES, settings_of(profile))
    gateway = Gateway(window=case.window, network_latency=NetworkLatency("fixed", (_NETWORK_LATENCY,)))
    deployment = deployment_of(workload, cluster, gateway, case.bounds)
    seconds = predict(workload, profile.step_cost(cluster.settings.async_scheduling), deployment).seconds
    assert seconds is not None  # one application always has a closed form
    return seconds


def _several_rows(runs: Mapping[str, RunRecords]) -> pd.DataFrame:
    """Policies side by side on applications that compete."""
    from analysis.summary import compare, summarise

    return compare({policy: summarise(run.calls, run.steps) for policy, run in runs.items()})


def _several_table(rows: pd.DataFrame) -> Table:
    from analysis.tables import SECONDS, TENTHS, table

    units = dict.fromkeys(("jct_mean", "jct_p95", "makespan", "ttft_mean", "e2e_mean"), SECONDS)
    units["output_tokens_per_s"] = TENTHS
    title = f"{_NUM_APPLICATIONS} of them: Poisson arrivals at {_RATE:g} a second, seed 0 (simulated)"
    return table(rows[["policy", *units]], units, title=title)


def _caption(records: RunRecords) -> str:
    manifest = records.manifest
    several = manifest["workload"]["num_applications"] > 1
    arrivals = f", {_NUM_APPLICATIONS} times, Poisson arrivals at {_RATE:g} a second, seed 0" if several else ""
    return (
        f"Simulated: {manifest['workload']['name']}{arrivals}, {_NUM_ENGINES} engines, profile {manifest['profile']}, "
        f"network latency {manifest['network_latency']} s before every call; most calls at an engine: fifo and "
        f"prefix-affinity 2, stage-priority 8 maps and 2 reduces, fifo-of-8 8"
    )
