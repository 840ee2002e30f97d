"""Goldens, run by run and call by call: vLLM 0.24.0, Llama-13B shape, one H100 (reproduce/data/measured_h100_13b).

The profile was calibrated on another H100: nothing of these runs took part in its fit.
"""

from functools import cache

import pytest

from policies.fifo import Fifo
from policies.gateway import Gateway
from reproduce.measured import load_scenario, scenario_workload
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate

#: (scenario, run): relative tolerance of makespan and of mean end-to-end latency. 1 % and 1.5 % are the goals;
#: the repeats of mr15_w2, burst128 and chat24 differ by up to 0.5 % and 0.8 %. Exceptions:
#: In the first run of chain_lat0 the host held up four of the 20 calls by 20 to 45 ms, 121 ms of 4.7 s: 2.5 %.
#: In the second it did not, and the host of the calibration launches prefills into an idle engine more slowly: 3 %.
#: The profile is that of another H100, whose prefills are slower: 1.5 and 2 % for burst128, 2 % for poisson_r5. The
#: goals for the mean over the five loads, 1 and 1.5 %, are met (docs/reproduction.md).
TOLERANCES = {
    ("chain_lat0", 0): (0.025, 0.025),
    ("chain_lat0", 1): (0.03, 0.03),
    ("mr15_w2", 0): (0.01, 0.015),
    ("mr15_w2", 1): (0.015, 0.015),
    ("poisson_r5", 0): (0.01, 0.02),
    ("burst128", 0): (0.015, 0.02),
    ("burst128", 1): (0.015, 0.02),
    ("chat24", 0): (0.01, 0.015),
    ("chat24", 1): (0.01, 0.015),
}

measured = cache(load_scenario)


@cache
def simulated(name):
    profile = load_profile("h100-llama-13b")
    cluster = SimulatedCluster(profile, 1, settings_of(profile))
    gateway = Gateway(window=measured(name)["definition"]["window"])
    return simulate(scenario_workload(measured(name)), Fifo(), cluster, gateway)


@pytest.mark.parametrize(("name", "run"), TOLERANCES)
def test_the_makespan_of_each_run_is_met(name, run):
    expected = measured(name)["runs"][run]["makespan"]
    assert simulated(name).calls.finished_at.max() == pytest.approx(expected, rel=TOLERANCES[name, run][0])


@pytest.mark.parametrize(("name", "run"), TOLERANCES)
def test_the_mean_latency_of_each_run_is_met(name, run):
    rows, calls = measured(name)["runs"][run]["rows"], simulated(name).calls
    expected = sum(row["finish"] - row["submit"] for row in rows) / len(rows)
    assert (calls.finished_at - calls.submitted_at).mean() == pytest.approx(expected, rel=TOLERANCES[name, run][1])


@pytest.mark.parametrize("run", [0, 1])
def test_a_burst_of_128_calls_preempts_as_often_and_takes_as_many_steps_as_measured(run):
    records, seen = simulated("burst128"), measured("burst128")["runs"][run]
    assert records.calls.num_preemptions.sum() == seen["preempted"] == 18
    assert records.steps["count"].sum() == len(seen["iters"]) == 266


@pytest.mark.parametrize(("name", "run"), TOLERANCES)
def test_every_call_finds_as_many_tokens_in_the_prefix_cache_as_measured(name, run):
    rows, calls = measured(name)["runs"][run]["rows"], simulated(name).calls
    cached = {(row["app"], row["call"]): row["cached"] for row in rows}
    assert dict(zip(zip(calls.app, calls.call, strict=True), calls.num_cached_tokens, strict=True)) == cached
