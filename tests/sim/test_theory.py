"""Goldens from theory: what any simulator of queues must give, whatever its engines cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.fifo import Fifo
from policies.gateway import Gateway
from sim.clock import Clock
from sim.engine import Engine
from sim.hugging_face import OneAtATime
from sim.settings import EngineSettings
from sim.stepped import SteppedEngine
from traces.graph import graph_of
from traces.workload import Application, Call, Workload, text

SERVICE = 0.020  # seconds: a step of 10 ms and ten prompt tokens of 1 ms each
ONE_CALL = EngineSettings(num_blocks=200, max_num_seqs=1, async_scheduling=False, enable_prefix_caching=False)
ENGINES = {
    "vLLM with one sequence": (Engine, lambda: ONE_CALL),
    "Hugging Face": (SteppedEngine, lambda: OneAtATime(4096)),
}


@pytest.fixture(params=ENGINES)
def waits_of(request, round_cost, new_request):
    """Seconds that calls of `SERVICE` wait at a one-call engine, given their arrivals."""

    class Listener:
        def request_finished(self, request, at):
            pass

    engine_class, make_limits = ENGINES[request.param]

    def run(arrivals):
        clock = Clock()
        engine = engine_class(0, make_limits(), round_cost, clock, Listener())
        calls = [new_request(number, 10) for number in range(len(arrivals))]
        for call, at in zip(calls, arrivals, strict=True):
            clock.call_at(at, lambda alarm, call=call: engine.submit(call, alarm.at))
        clock.run()
        return np.array([call.scheduled_at for call in calls]) - arrivals

    return run


def test_mean_wait_matches_the_m_d_1_queue(waits_of):
    """Pollaczek-Khinchine with fixed service: W = rho * service / (2 * (1 - rho)) = 10 ms at rho = 0.5."""
    rng = np.random.default_rng(0)
    arrivals = np.cumsum(rng.exponential(SERVICE / 0.5, size=30_000))
    # 5.5 %: three standard errors at this length (1.84 % each, from 60 seeds of Lindley's recursion).
    assert waits_of(arrivals).mean() == pytest.approx(0.010, rel=0.055)


def test_each_wait_follows_from_the_one_before(waits_of):
    """Lindley's recursion: w' = max(0, w + service - gap), to rounding."""
    arrivals = np.cumsum(np.random.default_rng(1).exponential(SERVICE / 0.8, size=2_000))
    expected = [0.0]
    for gap in np.diff(arrivals):
        expected.append(max(0.0, expected[-1] + SERVICE - gap))
    np.testing.assert_allclose(waits_of(arrivals), expected, rtol=0, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_little_s_law_holds_for_the_running_calls(scenarios, data):
    """Calls that run, summed over time, are the time calls run (Little, Operations Research 9(3), 1961).

    With synchronous scheduling, memory for all and no delay between client and engine: then a call leaves with its last
    step. One side comes from the table of steps, the other from the table of calls.
    """
    records = data.draw(scenarios).roomy(async_scheduling=False).run()
    calls, steps = records.calls, records.steps
    area = (steps.num_running * (steps.finished_at - steps.started_at)).sum()
    assert area == pytest.approx((calls.finished_at - calls.scheduled_at).sum(), rel=1e-9)


@st.composite
def graphs_of_calls(draw):
    """Up to twelve calls of 1 to 20 steps, each after some earlier ones."""
    calls = []
    for number in range(draw(st.integers(1, 12))):
        deps = draw(st.lists(st.sampled_from(range(number)), unique=True, max_size=3)) if number else ()
        num_steps = draw(st.integers(1, 20))
        calls.append(Call(str(number), (text("p", 1),), num_steps, deps=tuple(map(str, deps))))
    return Application("graph", 0.0, tuple(calls))


@settings(max_examples=100, deadline=None)
@given(application=graphs_of_calls(), num_engines=st.integers(1, 4))
def test_no_graph_takes_longer_than_graham_s_bound(new_scenario, ticks, application, num_engines):
    """List scheduling on m machines: makespan <= work / m + (1 - 1/m) * critical path, so 2 - 1/m times the best.

    Graham, SIAM J. Appl. Math. 17(2), 1969. On an engine that runs one at a time, n output tokens take n ticks.
    """
    workload = Workload("graph", (application,))
    calls = new_scenario(workload, Fifo, ONE_CALL, num_engines, Gateway(window=1)).run().calls
    graph, steps = graph_of(application), [call.output_tokens for call in application.calls]
    longest = [0] * len(steps)
    for number in reversed(graph.order):
        longest[number] = steps[number] + max((longest[child] for child in graph.children[number]), default=0)
    bound = sum(steps) / num_engines + (1 - 1 / num_engines) * max(longest)
    assert max(max(longest), sum(steps) / num_engines) <= calls.finished_at.max() / ticks <= bound + 1e-9
