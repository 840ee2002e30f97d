"""What may be averaged, with which interval, and what is told from chance."""

import numpy as np
import pandas as pd
import pytest

from analysis.statistics.fairness import jain_index
from analysis.statistics.goodput import deadlines_met, goodput
from analysis.statistics.intervals import mean_interval, paired_difference
from analysis.statistics.little import little_gap
from analysis.statistics.saturation import growth
from analysis.statistics.warmup import after_warmup, mser5
from policies.fifo import Fifo
from policies.gateway import Gateway
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.arrivals import poisson_arrivals
from traces.generators.mapreduce import map_reduce
from traces.records import RunRecords


def test_an_interval_is_students_over_replications() -> None:
    """Law, Simulation Modeling and Analysis, example 4.27: 1.27 +- 0.24 at 90% from these ten values."""
    values = pd.Series([1.20, 1.50, 1.68, 1.89, 0.95, 1.49, 1.58, 1.55, 0.50, 1.09])
    interval = mean_interval(values, confidence=0.9)
    assert interval.mean == pytest.approx(1.343, abs=0.001)
    assert interval.high - interval.mean == pytest.approx(1.833 * values.std() / np.sqrt(10), rel=1e-3)


def test_an_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    intervals = [mean_interval(pd.Series(rng.exponential(1.0, 5) + rng.normal(0, 1, 5))) for _ in range(1000)]
    covered = np.mean([interval.low < 1.0 < interval.high for interval in intervals])
    assert 0.93 < covered < 0.97


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, 2.0]])
def test_without_spread_there_is_a_mean_and_no_interval(values: list[float]) -> None:
    interval = mean_interval(pd.Series(values))
    assert interval.mean == values[0]
    assert np.isnan(interval.low)
    assert np.isnan(interval.high)


def test_pairing_resolves_what_two_intervals_do_not() -> None:
    luck = pd.Series([1.0, 5.0, 2.0, 9.0], index=[0, 1, 2, 3])
    better = luck - pd.Series([0.2, 0.3, 0.25, 0.2])
    assert mean_interval(luck).low < mean_interval(better).mean
    assert paired_difference(luck, better).high < 0


def test_pairing_uses_the_seeds_that_both_have() -> None:
    first, second = pd.Series({0: 1.0, 1: 2.0}), pd.Series({1: 3.0, 2: 9.0})
    interval = paired_difference(first, second)
    assert (interval.num, interval.mean) == (1, 1.0)


def test_the_warmup_cuts_off_the_first_to_arrive() -> None:
    arrived = pd.Series({"late": 9.0, "first": 0.0, "second": 1.0, "third": 2.0})
    assert after_warmup(arrived, 0.5).to_dict() == {"late": True, "first": False, "second": False, "third": True}


def test_a_longer_transient_is_found_by_the_rule_of_thumb_for_warmup() -> None:
    rng = np.random.default_rng(0)
    steady = rng.normal(10.0, 1.0, 400)
    rising = steady - 10.0 * np.exp(-np.arange(400) / 30)
    assert mser5(steady) < 0.05
    assert 0.1 < mser5(rising) < 0.4


def fixed_service_queue(load: float, num_applications: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Arrivals and finishes of an M/D/1 queue with a service of 1 s."""
    arrived = poisson_arrivals(load, num_applications, np.random.default_rng(seed))
    finished, free = np.empty(num_applications), 0.0
    for index, at in enumerate(arrived):
        finished[index] = free = max(free, at) + 1.0
    return arrived, finished


@pytest.mark.parametrize(
    ("load", "low", "high"), [(0.5, 0.0, 0.0), (0.8, 0.0, 0.02), (1.2, 0.85, 1.0), (1.5, 1.0, 1.0)]
)
def test_a_queue_is_saturated_beyond_its_capacity_and_not_below(load: float, low: float, high: float) -> None:
    """Shares of 100 M/D/1 queues of 400 arrivals; between 0.95 and 1.1 it is not told in so short a time."""
    trends = []
    for seed in range(100):
        arrived, finished = fixed_service_queue(load, 400, seed)
        trends.append(growth(arrived, arrived + 1.0, finished, begin=float(arrived[40])).is_saturated)
    assert low <= np.mean(trends) <= high


def test_a_queue_beyond_capacity_grows_by_what_it_cannot_absorb() -> None:
    """1 - 1/rho of the arrivals stay: a third at a load of 1.5."""
    arrived, finished = fixed_service_queue(1.5, 5000, seed=0)
    assert growth(arrived, arrived + 1.0, finished, begin=0.0).share == pytest.approx(1 / 3, abs=0.03)


def test_applications_that_take_long_alone_are_no_queue() -> None:
    """Their number rises from nothing to its level while the first have not finished: that is no growth."""
    arrived = np.arange(200) * 0.1
    assert not growth(arrived, arrived + 4.0, arrived + 4.5, begin=2.0).is_saturated


def test_jains_index_of_one_in_two_is_a_half() -> None:
    assert jain_index(np.array([1.0, 0.0])) == 0.5
    assert jain_index(np.array([3.0, 3.0])) == 1.0


def test_an_application_that_failed_missed_its_deadline() -> None:
    met = deadlines_met(pd.Series({"a": 1.0, "b": 3.0}), pd.Series({"a": 2.0, "b": 2.0, "failed": 2.0}))
    assert met.to_dict() == {"a": True, "b": False, "failed": False}
    assert goodput(met, span=4.0) == 0.25


@pytest.fixture(scope="module")
def records() -> RunRecords:
    """A short run without preemptions."""
    profile = load_profile("h100-llama-13b")
    cluster = SimulatedCluster(profile, 2, settings_of(profile))
    workload = map_reduce(5, poisson_arrivals(3.0, 20, np.random.default_rng(0)))
    return simulate(workload, Fifo(), cluster, Gateway(window=8))


def test_calls_and_steps_agree_on_the_number_in_the_engines(records: RunRecords) -> None:
    assert 0 <= little_gap(records.calls, records.steps) < 0.1


@pytest.mark.parametrize("seconds", [-2.0, 2.0])
def test_a_call_that_its_steps_do_not_bear_out_breaks_littles_law(records: RunRecords, seconds: float) -> None:
    calls = records.calls.assign(scheduled_at=records.calls["scheduled_at"] - seconds)
    with pytest.raises(ValueError, match="Little's law is broken"):
        little_gap(calls, records.steps)
