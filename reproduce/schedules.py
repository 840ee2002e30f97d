"""Steps and preemptions of both engines, on loads that a real vLLM 0.24.0 ran on one H100.

`dovetail reproduce schedules` prints them beside what was measured. The 48-call load is that of the project's notes on
vLLM (48 calls of 1500 prompt and 500 output tokens at once, 3801 blocks): measured 1,015 iterations, 9 preemptions. The
others are the scenarios of `reproduce.measured`. Simulated: steps that ran something. Measured: messages of the engine
core that carried a token, and all messages. A step in the middle of a prompt sends a message without a token, but so
does an empty step, so the measured number of steps that ran something lies between the two. Where arrivals
matter, a step that takes a little longer or shorter than on the card also changes how many there are.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from rich.console import Console

from policies.fifo import Fifo
from policies.gateway import Gateway
from reproduce.measured import PROFILE, load_scenario, scenario_workload
from reproduce.tables import frame_table
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.arrivals import all_at_once
from traces.generators.lengths import fixed_lengths
from traces.generators.single import single_calls
from traces.workload import Workload

SCENARIOS = ("chain_lat0", "mr15_w2", "burst128", "poisson_r5", "chat24")

#: Place of the generated tokens in a row of a measured scenario's `iters`.
_GENERATED = 4


def overflowing_load() -> Workload:
    """48 calls of 1500 prompt and 500 output tokens, all at once: more than 3801 blocks of 16 hold."""
    return single_calls(fixed_lengths(1500, 500, 48), all_at_once(48), name="48 x 1500/500")


def counts(workload: Workload, cluster: SimulatedCluster, gateway: Gateway) -> tuple[int, int]:
    """Steps of a run that ran something, and its preemptions."""
    records = simulate(workload, Fifo(), cluster, gateway)
    return int(records.steps["count"].sum()), int(records.calls["num_preemptions"].sum())


def rows() -> pd.DataFrame:
    """One row a load: steps and preemptions measured, of the native engine, and of vLLM's scheduler under virtual time.

    Raises
    ------
    ValueError
        When vLLM is not installed, or not of a supported version.
    """
    found = [_row(overflowing_load(), "1015", "9", 0)]
    for name in SCENARIOS:
        scenario = load_scenario(name)
        steps = [f"{sum(row[_GENERATED] > 0 for row in run['iters'])}-{len(run['iters'])}" for run in scenario["runs"]]
        preempted = [run["preempted"] for run in scenario["runs"]]
        window = scenario["definition"]["window"]
        found.append(_row(scenario_workload(scenario), _joined(steps), _joined(preempted), window))
    return pd.DataFrame(found)


def print_schedules(console: Console, rows: pd.DataFrame) -> None:
    """Two tables, steps and preemptions, from `rows`."""
    for figure in ("steps", "preemptions"):
        chosen = rows[["load", *(column for column in rows.columns if column.startswith(figure))]]
        chosen.columns = [column.removeprefix(figure).strip() for column in chosen.columns]
        console.print(frame_table(chosen, title=figure))
    console.print(
        "Measured: vLLM 0.24.0 on one H100, a value a repeat; steps from those that carried a token to all messages of "
        f"the engine core. Native, reference: profile {PROFILE}, steps that ran something."
    )


def _joined(values: list[Any]) -> str:
    """The repeats' values."""
    return "/".join(map(str, values))


def _row(workload: Workload, steps: str, preemptions: str, window: int) -> dict[str, Any]:
    profile = load_profile(PROFILE)
    settings = settings_of(profile, num_blocks=3801, block_size=16, max_num_batched_tokens=2048, max_num_seqs=256)
    gateway = Gateway(window=window)
    native = counts(workload, SimulatedCluster(profile, 1, settings), gateway)
    reference = counts(workload, SimulatedCluster(profile, 1, settings, reference=True), gateway)
    return {
        "load": workload.name,
        "steps measured (from-to)": steps,
        "steps native": native[0],
        "steps reference": reference[0],
        "preemptions measured": preemptions,
        "preemptions native": native[1],
        "preemptions reference": reference[1],
    }
