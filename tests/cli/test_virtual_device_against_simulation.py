"""A simulation takes the decisions of vLLM on the virtual device, and about its time.

The device is ten times as slow as an H100. A step then takes longer than a loaded machine is late by, and vLLM, which
plans the next step while one runs, hides it.
"""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from analysis.agreement import agreement
from analysis.comparison.matching import match_calls
from analysis.metrics import e2e
from policies.gateway import Gateway
from policies.interface import Policy
from realexec.progress import RunInProgress
from realexec.run import RealCluster, measure
from realexec.vllm_engine import VllmEngine, VllmOptions
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from sim.vllm_version import require_vllm
from traces.generators.single import single_calls
from traces.records import RunRecords
from traces.workload import Workload

NUM_ENGINES = 2

#: From its first line of input to the end of it: how long it was left waiting, beyond 50 ms at a time.
BYSTANDER = """
import select, sys, time
sys.stdin.readline()
lost, is_over = 0.0, False
while not is_over:
    asked_at = time.monotonic()
    is_over = bool(select.select([sys.stdin], [], [], 0.05)[0])
    lost += max(0.0, time.monotonic() - asked_at - 0.1)
print(lost)
"""


@pytest.fixture
def slow_profile(tmp_path: Path) -> Path:
    """File of the H100's profile, with every step ten times as long."""
    profile = msgspec.to_builtins(load_profile("h100-llama-13b"))
    profile["terms"] = {name: slowed(name, value) for name, value in profile["terms"].items()}
    file = tmp_path / "slow.json"
    file.write_bytes(msgspec.json.encode(profile))
    return file


def slowed(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: slowed(key, each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [slowed(name, each) for each in value]
    return 10 * value if "seconds" in name else value


def spread_calls() -> Workload:
    """Calls whose simulated ends lie at least half a second apart."""
    rng = np.random.default_rng(368)  # of 400 seeds, the one with the widest gaps
    lengths = np.column_stack([rng.integers(100, 400, 14), rng.integers(5, 60, 14)])
    return single_calls(lengths, np.zeros(14))


def undisturbed(cluster: RealCluster, gateway: Gateway) -> RunRecords:
    """The calls as measured on a machine that does not stand still meanwhile; on another they measure the machine."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", BYSTANDER], text=True, **pipes) as bystander:  # type: ignore[call-overload]

        def begin(_: RunInProgress) -> None:
            print(file=bystander.stdin, flush=True)

        records = asyncio.run(measure(spread_calls(), Policy(), cluster, gateway, on_start=begin))
        lost = float(bystander.communicate()[0])
    if lost > 0.2:
        pytest.skip(f"this machine stood still for {lost:.2f} s meanwhile")
    return records


def test_a_simulation_takes_the_decisions_of_the_virtual_device_and_about_its_time(
    slow_profile: Path, tmp_path: Path
) -> None:
    try:
        require_vllm()
    except ValueError as error:
        pytest.skip(str(error))
    profile, gateway = load_profile(slow_profile), Gateway(window=2)
    cluster = SimulatedCluster(profile, NUM_ENGINES, settings_of(profile))
    simulated = simulate(spread_calls(), Policy(), cluster, gateway)
    assert np.diff(np.sort(simulated.calls["finished_at"])).min() > 0.5
    options = VllmOptions(device="virtual", profile=str(slow_profile))
    engines = [VllmEngine(index, options, tmp_path / str(index)) for index in range(NUM_ENGINES)]
    real = undisturbed(RealCluster(engines), gateway)
    found = agreement(simulated.decisions, real.decisions)
    assert found.share == 1.0, found.first_difference
    matched = match_calls(simulated.calls, real.calls)
    errors = e2e(matched.simulated) / e2e(matched.measured) - 1.0
    # 5 %: what the project set itself for this comparison.
    assert errors.abs().mean() < 0.05
