"""Closed form and bounds beside the simulator: where no round overlaps another they agree, and no run beats a bound."""

import numpy as np
import pytest

from analysis import metrics
from analysis.bounds import lower_bounds
from analysis.prediction import predict
from analysis.rounds import Deployment
from policies.coordinator import Coordinator
from policies.engines import EngineState
from policies.fifo import Fifo
from sim.clock import Clock
from sim.cluster import Cluster
from sim.engine import Engine
from sim.settings import EngineSettings
from sim.step_cost import NO_LAUNCH, UNSHARED
from traces.workload import Application, Call, Workload, num_calls, output_of, text


class AffineCost:
    """10 ms a step, 1 ms a decoding call, 1 us a context token, 100 us a prefill token."""

    def step(self, num_decodes, num_context_tokens, prefills, sharing=UNSHARED):
        return 1e-2 + 1e-3 * num_decodes + 1e-6 * num_context_tokens + 1e-4 * sum(new for new, _ in prefills)

    def decode_run(self, num_decodes, num_context_tokens, sharing=UNSHARED):
        return self.step(num_decodes, num_context_tokens, ()), 1e-6 * num_decodes

    def launch(self, num_decodes, num_tokens):
        return NO_LAUNCH

    def sustained_slowdown(self):
        return 0.0


def simulated_calls(workload, deployment):
    """Call records of first come, first served on vLLM engines with one step in flight."""
    settings = EngineSettings(
        num_blocks=10_000,
        async_scheduling=False,
        enable_prefix_caching=deployment.enable_prefix_caching,
        max_num_batched_tokens=deployment.max_num_batched_tokens,
        max_model_len=20_000,
    )
    limits = {"num_blocks": 10_000, "block_size": 16, "max_num_seqs": 256, "window": deployment.num_resident}
    states = [EngineState(index, **limits) for index in range(deployment.num_engines)]
    latency = [deployment.network_latency] * num_calls(workload)
    orchestration = deployment.orchestration
    coordinator = Coordinator(workload, Fifo(), states, orchestration=orchestration, network_latency=latency)
    clock, cost = Clock(), AffineCost()
    cluster = Cluster(clock, coordinator, lambda own: [Engine(s.engine_id, settings, cost, clock, own) for s in states])
    cluster.run()
    return cluster.frames()["calls"]


def map_reduce(num_maps):
    maps = [Call(f"map{i}", (text(f"chunk{i}", 1000),), 50, stage="map") for i in range(num_maps)]
    ids = tuple(call.id for call in maps)
    reduce = Call("reduce", tuple(map(output_of, ids)), 50, stage="reduce", deps=ids)
    return Application("m", 0.0, (*maps, reduce))


def chain(num_steps, app):
    calls = [Call(f"c{i}", (text(f"{app}{i}", 100),), 11, deps=(f"c{i - 1}",) if i else ()) for i in range(num_steps)]
    return Application(app, 0.0, tuple(calls))


def random_application(index, rng):
    """Up to eight calls that depend on earlier ones at random and share one of two opening texts."""
    calls = []
    for k in range(int(rng.integers(1, 9))):
        deps = tuple(f"c{parent}" for parent in range(k) if rng.random() < 0.4)
        opening = text(f"system{rng.integers(2)}", 300)
        prompt = (opening, *map(output_of, deps), text(f"{index}-{k}", int(rng.integers(1, 3000))))
        calls.append(Call(f"c{k}", prompt, int(rng.integers(1, 80)), deps=deps, delay=float(rng.random() < 0.3)))
    return Application(f"a{index}", float(rng.uniform(0, 5)), tuple(calls))


@pytest.mark.parametrize("orchestration", ["client", "service"])
@pytest.mark.parametrize(("num_engines", "num_resident"), [(1, 1), (1, 2), (4, 2)])
@pytest.mark.parametrize("applications", [[map_reduce(30)], [chain(20, "c")], [chain(20, f"c{k}-") for k in range(16)]])
def test_rounds_that_do_not_overlap_take_the_time_of_the_closed_form(
    applications, num_engines, num_resident, orchestration
):
    # Two prompts of 1000 tokens fit a step, so calls of a round start and end together and the closed form is exact.
    workload = Workload("w", tuple(applications))
    deployment = Deployment(num_engines, num_resident, network_latency=0.25, orchestration=orchestration)
    simulated = metrics.makespan(simulated_calls(workload, deployment))
    assert predict(workload, AffineCost(), deployment).seconds == pytest.approx(simulated, rel=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_no_simulated_run_beats_its_lower_bounds(seed):
    rng = np.random.default_rng(seed)
    workload = Workload("random", tuple(random_application(index, rng) for index in range(int(rng.integers(1, 25)))))
    deployment = Deployment(
        num_engines=int(rng.integers(1, 4)),
        num_resident=int(rng.choice([1, 4, 32])),
        network_latency=0.25,
        orchestration=str(rng.choice(["client", "service"])),
        max_num_batched_tokens=int(rng.choice([256, 2048])),
        enable_prefix_caching=bool(rng.random() < 0.5),
    )
    bounds = lower_bounds(workload, AffineCost(), deployment)
    calls = simulated_calls(workload, deployment)
    assert bounds.makespan <= metrics.makespan(calls) * (1 + 1e-9)
    jct = metrics.jct(calls)
    assert all(bounds.critical_path[app] <= jct[app] * (1 + 1e-9) for app in jct.index)
