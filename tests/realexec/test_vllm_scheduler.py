"""What the scheduler inside vLLM's engine records, and the order in which it takes waiting calls."""

import asyncio
import time
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from policies.calls import build_applications
from policies.fifo import Fifo
from policies.interface import Policy
from realexec.call_metadata import to_extra_args
from realexec.interface import EngineRequest
from realexec.vllm_engine import VllmEngine, VllmOptions
from sim.profile import Overheads, load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from sim.vllm_version import require_vllm
from traces.records import STEP_COLUMNS
from traces.workload import Application, Call, Workload, text

COUNTS = [name for name in STEP_COLUMNS if name.startswith("num_")]


@pytest.fixture(scope="module", autouse=True)
def _vllm():
    try:
        require_vllm()
    except ValueError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """An engine's process that is started afresh, not forked, imports the policies of this file."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


class ShortestPrompt(Policy):
    """Built in the engine's process; `sign` -1 reverses it."""

    def __init__(self, sign: int = 1) -> None:
        self.sign = sign

    def rank(self, call, now):
        return (self.sign * call.num_prompt_tokens, call.call_id)


class Turning(Policy):
    """Prefers short prompts, and when it is asked again long ones."""

    reranks = True

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def rank(self, call, now):
        sign = -1 if call.call_id in self.asked else 1
        self.asked.add(call.call_id)
        return sign * call.num_prompt_tokens


class Timely(Policy):
    """Prefers long prompts in the second quarter of an hour of a run, and short ones before and after."""

    def rank(self, call, now):
        return -call.num_prompt_tokens if 900.0 < now < 1800.0 else call.num_prompt_tokens


def one_application(lengths):
    """Calls of (prompt, output) tokens, ready at once."""
    calls = tuple(
        Call(f"c{index}", (text(f"text {index}", num_prompt),), num_output)
        for index, (num_prompt, num_output) in enumerate(lengths)
    )
    return Workload("test", (Application("a", 0.0, calls),))


def requests_of(lengths, age=0.0):
    """Requests of (prompt, output) tokens, as the driver would make them in a run that began `age` seconds ago."""
    calls, started_at = build_applications(one_application(lengths))[0].calls, time.monotonic() - age
    return [
        EngineRequest(
            call.call_id,
            [1000 + call.index] * call.num_prompt_tokens,
            call.num_output_tokens,
            extra_args=to_extra_args(call, started_at),
        )
        for call in calls
    ]


async def measure(engine, requests):
    """Records of an engine that plans nothing before it has all requests: no machine is too fast or too slow for it."""
    await engine.start()
    try:
        await engine.llm.pause_generation(mode="keep", clear_cache=False)
        runs = [asyncio.create_task(engine.generate(request, lambda: None)) for request in requests]
        while engine.llm.output_processor.get_num_unfinished_requests() < len(runs):
            await asyncio.sleep(0.01)
        await engine.llm.resume_generation()
        await asyncio.gather(*runs)
    finally:
        await engine.stop()
    return engine.records()


def order_of(records):
    """Ids as the engine took them, which ran one at a time."""
    return sorted(records.requests, key=lambda name: records.requests[name].scheduled_at)


def simulated_steps(lengths, limits):
    """A row of `count` steps is written out; only the first preempts, and what is known of it alone is then NaN."""
    profile = msgspec.structs.replace(load_profile("h100-llama-13b"), overheads=Overheads())
    cluster = SimulatedCluster(profile, 1, settings_of(profile, **limits))
    stretches = simulate(one_application(lengths), Fifo(), cluster).steps
    steps = stretches.loc[stretches.index.repeat(stretches["count"]), COUNTS].astype(float)
    position = steps.groupby(level=0).cumcount().to_numpy()
    steps["num_context_tokens"] += position * steps["num_decodes"]
    steps.loc[position > 0, ["num_running", "num_free_blocks"]] = float("nan")
    steps.loc[position > 0, "num_preempted"] = 0.0
    return steps.reset_index(drop=True)


@pytest.mark.parametrize("is_async", [True, False])
def test_recorded_steps_are_those_of_the_simulator(is_async, tmp_path):
    """The engine has all calls before its first step, so no instant decides; memory is short for them all."""
    lengths = [(300 + 10 * index, 40 + index) for index in range(6)]
    limits = {"num_blocks": 128, "max_model_len": 500, "async_scheduling": is_async}
    options = VllmOptions(device="virtual", limits=limits)
    records = asyncio.run(measure(VllmEngine(0, options, tmp_path), requests_of(lengths)))
    simulated = simulated_steps(lengths, limits)
    measured = records.steps[COUNTS].astype(float).where(simulated.notna())
    assert measured["num_preempted"].sum() > 0
    pd.testing.assert_frame_equal(measured, simulated)
    assert sum(facts.num_preemptions for facts in records.requests.values()) == measured["num_preempted"].sum()


def test_steps_follow_one_another_and_take_their_modelled_time(tmp_path):
    """A loaded machine notes ends late, never early; that not every step is longer shows in the quickest."""
    lengths = [(100, 30), (200, 20)]
    engine = VllmEngine(0, VllmOptions(device="virtual"), tmp_path)
    steps = asyncio.run(measure(engine, requests_of(lengths))).steps
    started_at, finished_at = steps["started_at"].to_numpy(), steps["finished_at"].to_numpy()
    assert (started_at[1:] >= finished_at[:-1]).all()
    cost = load_profile("h100-llama-13b").step_cost(async_scheduling=True)
    decodes = np.array([cost.step(d, c, ()) for d, c in steps[["num_decodes", "num_context_tokens"]].to_numpy()[1:]])
    assert finished_at[-1] - started_at[0] >= cost.step(0, 0, [(100, 0), (200, 0)]) + decodes.sum()
    assert ((finished_at - started_at)[1:] / decodes).min() <= 1.0


@pytest.mark.parametrize(
    ("policy", "parameters", "age", "order"),
    [
        ("ShortestPrompt", {}, 0.0, ["c0", "c3", "c1", "c2"]),
        ("ShortestPrompt", {"sign": -1}, 0.0, ["c2", "c1", "c3", "c0"]),
        ("Turning", {}, 0.0, ["c2", "c1", "c3", "c0"]),
        ("Timely", {}, 1000.0, ["c2", "c1", "c3", "c0"]),
    ],
)
def test_a_policy_orders_the_engine_s_waiting_calls(policy, parameters, age, order, tmp_path):
    """One call runs at a time, and all wait when the first is taken."""
    options = VllmOptions(
        device="virtual",
        order="engine",
        policy=f"{__name__}:{policy}",
        policy_parameters=parameters,
        limits={"max_num_seqs": 1},
    )
    requests = requests_of([(50, 8), (400, 5), (500, 5), (300, 3)], age)
    assert order_of(asyncio.run(measure(VllmEngine(0, options, tmp_path), requests))) == order


def mixed_requests():
    """Three of the policy's calls; between the first and the others, three of other clients, one of them broken."""
    first, long, short = requests_of([(50, 20), (400, 5), (300, 5)])
    low, stray = EngineRequest("low", [1] * 9, 5, priority=1), EngineRequest("stray", [2] * 9, 5)
    broken = EngineRequest("broken", [3] * 9, 5, extra_args={**long.extra_args, "ready_at": "x"})
    return [first, low, stray, broken, long, short]


@pytest.mark.parametrize(("policy", "order"), [("ShortestPrompt", ["c0", "c2", "c1"]), ("Turning", ["c1", "c2", "c0"])])
def test_requests_of_other_clients_wait_behind_the_policy_s_calls(policy, order, tmp_path):
    options = VllmOptions(device="virtual", order="engine", policy=f"{__name__}:{policy}", limits={"max_num_seqs": 1})
    records = asyncio.run(measure(VllmEngine(0, options, tmp_path), mixed_requests()))
    assert order_of(records) == [*order, "stray", "broken", "low"]
