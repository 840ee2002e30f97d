"""Every policy, end to end through vLLM's AsyncLLM on the virtual device; the engines are started once."""

import asyncio
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from policies.gateway import Gateway
from policies.interface import Policy
from policies.load import load_policy, policy_names
from realexec.kept import KeptEngine, release_all
from realexec.run import RealCluster, measure
from realexec.vllm_engine import VllmEngine, VllmOptions
from sim.vllm_version import require_vllm
from traces.generators.agents import AgentsShape, multi_agent_rounds
from traces.generators.chat import ChatShape, chat_sessions
from traces.generators.lengths import LogNormal
from traces.generators.mapreduce import map_reduce
from traces.records import RunRecords
from traces.workload import Workload

Measure = Callable[[Workload, Policy, Gateway], RunRecords]

NUM_ENGINES = 2


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measure]:
    """Runs a workload on two virtual H100s that stay up."""
    try:
        require_vllm()
    except ValueError as error:
        pytest.skip(str(error))
    folder, options = tmp_path_factory.mktemp("engines"), VllmOptions(device="virtual")
    engines = [KeptEngine(VllmEngine(index, options, folder / str(index))) for index in range(NUM_ENGINES)]
    with asyncio.Runner() as runner:
        try:
            yield lambda *arguments: runner.run(measure(arguments[0], arguments[1], RealCluster(engines), arguments[2]))
        finally:
            runner.run(release_all(engines))


def map_reduces() -> Workload:
    return map_reduce(5, np.array([0.0, 0.02]), chunk_tokens=200, output_tokens=4)


def chats() -> Workload:
    lengths = (LogNormal(40, 0.5, 80), LogNormal(4, 0.0, 4))
    shape = ChatShape(2, *lengths, think_time=0.02, system_tokens=64)
    return chat_sessions(np.linspace(0.0, 0.05, 4), shape, np.random.default_rng(0))


def agents() -> Workload:
    return multi_agent_rounds(shape=AgentsShape(num_files=3, instruction_tokens=50, output_tokens=4))


@pytest.mark.parametrize("workload", [map_reduces, chats, agents], ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", policy_names())
def test_every_policy_runs_every_kind_of_application(
    name: str, workload: Callable[[], Workload], measured: Measure
) -> None:
    records = measured(workload(), load_policy(name).policy, Gateway(window=3))
    assert records.manifest["complete"], records.manifest["faults"]
    calls = records.calls
    assert (calls["status"] == "ok").all()
    assert (calls["dispatched_at"] <= calls["scheduled_at"]).all()
    assert (calls["first_token_at"] <= calls["finished_at"]).all()
    dispatched = records.decisions[records.decisions["outcome"] == "dispatch"]
    assert len(dispatched) == len(calls)
