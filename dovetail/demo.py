"""`dovetail demo`: the benchmark notes' map-reduce on four GPUs under three policies, simulated and predicted."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from traces.records import RunRecords
    from traces.workload import Workload

#: The notes name no card for these rows; the figures were later found to be of Llama-7B.
_PROFILE = "a100-llama-7b"
_NUM_ENGINES = 4
_NETWORK_LATENCY = 0.25  # seconds, before every call

#: Load of the second table: applications, and their rate in applications a second.
_NUM_APPLICATIONS = 40
_RATE = 0.4

_MARKER = "demo.txt"

#: Of the recorded tables, characters.
_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the demo.

    Parameters
    ----------
    name : str
        In tables, pictures and folder names.
    policy : str
    arguments : tuple of str
        Its parameters.
    window : int
        Most calls at one engine; 0 = no limit but the policy's.
    bounds : mapping of stage to int
        The policy's limits, for the closed form.
    published : float, seconds
        What the benchmark notes measured of the system with this policy; NaN when there is none.
    """

    name: str
    policy: str
    arguments: tuple[str, ...]
    window: int
    bounds: Mapping[str, int]
    published: float

    @property
    def limits(self) -> str:
        """Most calls at one engine, in words."""
        bounds = ", ".join(f"{stage} {bound}" for stage, bound in self.bounds.items())
        return bounds or f"all {self.window}"


#: An engine that must answer the reduce call quickly admits two calls; only a policy that knows stages can admit more
#: maps. FIFO with eight calls shows what the larger batch alone is worth, and what the stages add. Published: means of
#: the notes' nine runs after the first (in brackets there), "Map-Reduce 4 GPUs".
CASES = (
    Case("fifo", "fifo", (), 2, {}, 13.04),  # Parrot baseline
    Case(
        "stage-priority",
        "stage-priority",
        ("bounds=map=8,reduce=2",),
        0,
        {"map": 8, "reduce": 2},
        5.30,  # Parrot main
    ),
    Case("prefix-affinity", "prefix-affinity", (), 2, {}, nan),
    Case("fifo-of-8", "fifo", (), 8, {}, nan),
)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory for records and pictures.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier demo there.")
def demo(out: Path, overwrite: bool) -> None:
    """Simulate the 4-GPU map-reduce of the benchmark notes under three policies."""
    import numpy as np
    from rich.console import Console

    from dovetail.output import console, staged
    from traces.arrivals import poisson_arrivals
    from traces.generators.mapreduce import map_reduce

    single = map_reduce(30)
    several = map_reduce(30, poisson_arrivals(_RATE, _NUM_APPLICATIONS, np.random.default_rng(0)))
    with staged(out, overwrite=overwrite, marker=_MARKER) as directory:
        started_at = time.perf_counter()
        runs = {name: _simulate(load) for name, load in (("single", single), ("several", several))}
        seconds = time.perf_counter() - started_at
        for name, records in runs.items():
            _write(directory / name, records)
        shown = (
            _single_table(single, runs["single"]),
            _several_table(runs["several"]),
            f"The simulations took {seconds:.2f} s. Records and pictures are in {out}.",
        )
        with (directory / _MARKER).open("w", encoding="utf-8") as file:
            Console(file=file, width=_WIDTH).print(*shown, sep="\n")  # the same from every terminal
    console(_WIDTH).print(*shown, sep="\n")


def _simulate(workload: Workload) -> dict[str, RunRecords]:
    """Records by case."""
    from policies.gateway import Gateway
    from policies.load import load_policy
    from policies.network import NetworkLatency
    from sim.profile import load_profile
    from sim.run import SimulatedCluster, settings_of, simulate

    profile = load_profile(_PROFILE)
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


def _single_table(workload: Workload, runs: Mapping[str, RunRecords]) -> Table:
    """Simulated, predicted and published completion time of one application."""
    import pandas as pd

    from analysis.metrics import jct
    from analysis.tables import SECONDS, Unit, table

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
    units = {"JCT": SECONDS, "closed form": SECONDS, "published": Unit("s", num_decimals=2)}
    note = (
        "Published: the notes' Parrot baseline and Parrot main, on Parrot's own engine and an unnamed GPU, not the "
        "engine simulated here. No two prompts share a KV block, so prefix-affinity has nothing to find."
    )
    caption = f"{_caption(next(iter(runs.values())))}\n{note}"
    return table(pd.DataFrame(rows), units, title="One map-reduce application, 30 maps", caption=caption)


def _closed_form(workload: Workload, case: Case) -> float:
    """Predicted makespan, seconds."""
    from analysis.prediction import predict
    from dovetail.closed_form import deployment_of
    from policies.gateway import Gateway
    from policies.network import NetworkLatency
    from sim.profile import load_profile
    from sim.run import SimulatedCluster, settings_of

    profile = load_profile(_PROFILE)
    cluster = SimulatedCluster(profile, _NUM_ENGINES, settings_of(profile))
    gateway = Gateway(window=case.window, network_latency=NetworkLatency("fixed", (_NETWORK_LATENCY,)))
    deployment = deployment_of(workload, cluster, gateway, case.bounds)
    seconds = predict(workload, profile.step_cost(cluster.settings.async_scheduling), deployment).seconds
    assert seconds is not None  # one application always has a closed form
    return seconds


def _several_table(runs: Mapping[str, RunRecords]) -> Table:
    """Policies side by side on applications that compete."""
    from analysis.summary import compare, summarise
    from analysis.tables import SECONDS, TENTHS, table

    frame: pd.DataFrame = compare({policy: summarise(run.calls, run.steps) for policy, run in runs.items()})
    units = dict.fromkeys(("jct_mean", "jct_p95", "makespan", "ttft_mean", "e2e_mean"), SECONDS)
    units["output_tokens_per_s"] = TENTHS
    title = f"{_NUM_APPLICATIONS} of them: Poisson arrivals at {_RATE:g} a second, seed 0 (simulated)"
    return table(frame[["policy", *units]], units, title=title)


def _caption(records: RunRecords) -> str:
    manifest = records.manifest
    several = manifest["workload"]["num_applications"] > 1
    arrivals = f", {_NUM_APPLICATIONS} times, Poisson arrivals at {_RATE:g} a second, seed 0" if several else ""
    return (
        f"Simulated: {manifest['workload']['name']}{arrivals}, {_NUM_ENGINES} engines, profile {manifest['profile']}, "
        f"network latency {manifest['network_latency']} s before every call; most calls at an engine: fifo and "
        f"prefix-affinity 2, stage-priority 8 maps and 2 reduces, fifo-of-8 8"
    )
