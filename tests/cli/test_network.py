"""Network latency distributions have the moments that they are given by, and are paid where the graph is run."""

import numpy as np
import pytest

from analysis.metrics import jct
from policies.fifo import Fifo
from policies.gateway import Gateway
from policies.network import NetworkLatency, parse_network_latency
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.generators.chain import ChainShape, chain

#: Standard deviation over mean; of a uniform variable (high - low) / sqrt(12) over the mean.
SHAPES = {"0.25": 0.0, "uniform:0.1:0.4": 0.3 / 12**0.5 / 0.25, "exponential:0.25": 1.0, "lognormal:0.25:0.6": 0.6}


@pytest.mark.parametrize("text", SHAPES)
def test_draws_have_the_mean_and_the_variation_of_their_distribution(text: str) -> None:
    latency = parse_network_latency(text)
    drawn = latency.draw(200_000, np.random.default_rng(0))
    assert latency.mean == pytest.approx(0.25)
    # 1 %: more than four standard errors of the mean (0.2 % at a variation of 1), and of the deviation.
    assert drawn.mean() == pytest.approx(0.25, rel=0.01)
    assert drawn.std() / drawn.mean() == pytest.approx(SHAPES[text], rel=0.02, abs=1e-12)
    assert (drawn >= 0).all()


@pytest.mark.parametrize("text", SHAPES)
def test_a_latency_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_network_latency(text)) == text


def test_a_lognormal_latency_of_nothing_is_nothing() -> None:
    assert not parse_network_latency("lognormal:0:1").draw(3, np.random.default_rng(0)).any()


@pytest.mark.parametrize(("orchestration", "num_paid"), [("client", 5), ("service", 1)])
def test_a_client_pays_the_latency_for_each_call_and_a_service_once(orchestration: str, num_paid: int) -> None:
    profile = load_profile("h100-llama-13b")
    cluster, workload = SimulatedCluster(profile, 1, settings_of(profile)), chain(shape=ChainShape(num_calls=5))

    def completion(seconds: float) -> float:
        gateway = Gateway(orchestration=orchestration, network_latency=NetworkLatency("fixed", (seconds,)))  # type: ignore[arg-type]
        return float(jct(simulate(workload, Fifo(), cluster, gateway).calls).iloc[0])

    assert completion(0.25) - completion(0.0) == pytest.approx(0.25 * num_paid)
