"""Calibrations without an engine: the points of a small plan, run by the simulator, whose step costs are known."""

import msgspec
import pandas as pd
import pytest

from policies.fifo import Fifo
from realexec.calibration.plan import SMALL, plan
from realexec.calibration.point import Limits
from realexec.calibration.raw import RawMeasurement
from sim.profile import CurveTable, load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.workload import Application, Call, Workload, text

LIMITS = Limits(num_blocks=3801, block_size=16, max_num_seqs=256, max_model_len=4096, max_num_batched_tokens=2048)


def plain_profile():
    """An engine of simple curves, about as fast as the one of the H100 profile; calls that share save nothing."""
    profile = load_profile("h100-llama-13b")
    terms = msgspec.structs.replace(
        profile.terms,
        dense=CurveTable((1, 128, 256, 512, 1024, 2048), (0.0106, 0.0107, 0.0126, 0.0206, 0.0424, 0.0832)),
        decode_batch=CurveTable((1, 16, 64, 128), (0.0, 0.0004, 0.0004, 0.0019)),
        decode_context=CurveTable((1,), (2.7e-7,)),
        seconds_per_attention_pair=1e-9,
        seconds_per_mixed_step=0.0,
        repeated_context=None,
        num_resident_tokens=0,
        num_parallel_calls=0,
        num_graph_tokens=0,
        launch_seconds=0.0,
        sustained_slowdown=0.0,
    )
    return msgspec.structs.replace(profile, name="plain", terms=terms)


def known_profile():
    """The same with costs of context by batch and of repeated reads that no measurement gave."""
    profile = plain_profile()
    terms = msgspec.structs.replace(
        profile.terms,
        decode_context=CurveTable((1, 8, 32), (5e-7, 3e-7, 2.2e-7)),
        repeated_context=CurveTable((2, 8, 32), (2e-7, 1.2e-7, 6e-8)),
    )
    return msgspec.structs.replace(profile, name="known", terms=terms)


def point_workload(point):
    """A point as an application: the calls of a wave depend on all of the wave before."""
    calls, before = [], ()
    for number, wave in enumerate((point.background, *point.waves), start=-1):
        ids = tuple(f"{number}/{index}" for index in range(len(wave)))
        calls += [
            Call(call_id, tuple(text(*part) for part in call.prompt), call.num_output_tokens, deps=before)
            for call_id, call in zip(ids, wave, strict=True)
        ]
        before = ids if number >= 0 else ()
    return Workload(point.name, (Application("point", 0.0, tuple(calls)),))


def simulated_tables(point, profile, started_at):
    """Calls and steps of a point as a calibration notes them."""
    records = simulate(point_workload(point), Fifo(), SimulatedCluster(profile, 1, settings_of(profile), skip=False))
    prefixes = {
        f"{number}/{index}": call.prompt[0][0] if len(call.prompt) > 1 else ""
        for number, wave in enumerate((point.background, *point.waves), start=-1)
        for index, call in enumerate(wave)
    }
    calls = records.calls.assign(
        point=point.name,
        asynchronous=True,
        request_id=point.name + "/" + records.calls.call,
        prefix=records.calls.call.map(prefixes),
        wave=[int(call.partition("/")[0]) for call in records.calls.call],
    )
    instants = ["dispatched_at", "scheduled_at", "first_token_at", "finished_at"]
    calls[instants] += started_at
    steps = pd.DataFrame(expanded(records.steps, profile)).assign(asynchronous=True)
    steps[["started_at", "finished_at"]] += started_at
    # A recorder counts the step that wakes an engine from its planning; the simulator, from the end of its launch.
    is_first = steps.started_at > steps.finished_at.shift(fill_value=0.0) + 1e-9
    steps.loc[is_first, "started_at"] -= profile.overheads.idle_start
    return calls, steps


def expanded(steps, profile):
    """One row a step: runs of equal decode steps taken apart, each longer than the one before by the same time."""
    cost = profile.step_cost(async_scheduling=True)
    for row in steps.to_dict("records"):
        count, end = row["count"], row["started_at"]
        growth = cost.decode_run(row["num_decodes"], 0)[1] if count > 1 else 0.0
        first = (row["finished_at"] - end - growth * count * (count - 1) / 2) / count
        for index in range(count):
            start, end = end, end + first + index * growth
            context = row["num_context_tokens"] + index * row["num_decodes"]
            yield row | {"count": 1, "started_at": start, "finished_at": end, "num_context_tokens": context}


def simulated_raw(points, profile):
    """What a calibration of the simulator would have left behind."""
    spans, calls, steps, started_at = [], [], [], 1.0
    for point in points:
        new_calls, new_steps = simulated_tables(point, profile, started_at)
        end = new_calls.finished_at.max()
        spans.append((point.name, point.kind, point.held_out, True, started_at, end))
        calls.append(new_calls)
        steps.append(new_steps)
        started_at = end + 1.0
    columns = ["point", "kind", "held_out", "asynchronous", "started_at", "finished_at"]
    engine = {"device": "simulated", "versions": {"vllm": "0.24.0"}, "date": "2026-01-01", "seconds": started_at}
    engine |= {"tensor_parallel_size": 1, "num_blocks": 3801, "block_size": 16, "max_model_len": 4096}
    engine |= {"max_num_seqs": 256, "settings": {"max_num_batched_tokens": 2048}}
    return RawMeasurement(engine, pd.DataFrame(spans, columns=columns), pd.concat(calls), pd.concat(steps))


@pytest.fixture(scope="session")
def known():
    return known_profile()


@pytest.fixture(scope="session")
def small_plan():
    return plan(LIMITS, SMALL)


@pytest.fixture(scope="session")
def raw(small_plan, known):
    return simulated_raw(small_plan, known)


@pytest.fixture(scope="session")
def make_raw():
    return simulated_raw
