"""Errors of means and percentiles, and how sure they are."""

import numpy as np
import pandas as pd
import pytest

from analysis.comparison.errors import error_table, makespans
from analysis.comparison.intervals import (
    MAX_BINS,
    MAX_UNITS,
    QUANTILES,
    resampled_means,
    resampled_quantiles,
    resampling,
)
from analysis.comparison.matching import match_calls
from analysis.comparison.split import error_split


def applications(calls, num_copies):
    """The fixture's application again and again, under names of their own."""
    first = calls.assign(ready_at=calls["submitted_at"])
    instants = [name for name in calls if name.endswith("_at")]
    copies = [
        first.assign(app=f"a{k}", **{name: first[name] + 10.0 * k for name in instants}) for k in range(num_copies)
    ]
    return pd.concat(copies, ignore_index=True)


def slower(calls, factor):
    """The same calls with every wait and service after submission `factor` times as long."""
    names = ("dispatched_at", "scheduled_at", "first_token_at", "finished_at")
    return calls.assign(
        **{name: calls["submitted_at"] + factor * (calls[name] - calls["submitted_at"]) for name in names}
    )


def row(errors, metric, statistic="mean", stage="(all)"):
    chosen = errors[(errors["metric"] == metric) & (errors["statistic"] == statistic) & (errors["stage"] == stage)]
    return chosen.iloc[0]


def test_a_run_that_is_a_quarter_slower_has_an_error_of_minus_a_fifth_in_every_statistic(calls):
    simulated = applications(calls, 20)
    matched = match_calls(simulated, slower(simulated, 1.25))
    errors = error_table(matched, error_split(matched), np.random.default_rng(0))
    latencies = errors[errors["metric"] != "jct"]
    assert np.allclose(latencies[["error", "low", "high"]], -0.2)
    assert np.allclose(latencies["absolute"].dropna(), 0.2)


def test_opposite_errors_cancel_in_the_mean_and_not_in_the_absolute_error(calls):
    simulated = applications(calls.iloc[:1], 2)
    measured = slower(simulated, 1.0)
    measured.loc[0, "finished_at"] += 0.5  # 1.25 s become 1.75 s and 0.75 s
    measured.loc[1, "finished_at"] -= 0.5
    matched = match_calls(simulated, measured)
    e2e = row(error_table(matched, error_split(matched), np.random.default_rng(0)), "e2e")
    assert e2e["error"] == pytest.approx(0.0)
    assert e2e["absolute"] == pytest.approx((abs(1.25 / 1.75 - 1) + abs(1.25 / 0.75 - 1)) / 2)


def test_one_application_has_no_interval_of_its_jct(calls):
    matched = match_calls(calls, calls)
    jct = row(error_table(matched, error_split(matched), np.random.default_rng(0)), "jct")
    assert jct["num"] == 1
    assert np.isnan(jct["low"])


def test_makespans_run_from_the_first_arrival_to_the_last_finish(calls):
    matched = match_calls(calls, calls.assign(finished_at=calls["finished_at"] + [0.0, 0.0, 1.0]))
    assert makespans(matched) == {"simulated": 5.0, "measured": 6.0, "error": pytest.approx(-1 / 6)}


def test_resampled_quantiles_are_those_of_the_resampled_values():
    """Against NumPy on the values drawn, which the histogram never makes."""
    rng = np.random.default_rng(1)
    values = rng.exponential(size=300)
    drawn = resampling(np.arange(300), rng)
    found = resampled_quantiles(values, drawn)
    for resample in (0, 500, 998):
        expected = np.quantile(np.repeat(values, drawn.draws[resample].astype(int)), QUANTILES)
        assert found[resample] == pytest.approx(expected)


def test_many_values_share_bins_without_moving_a_quantile_by_more_than_a_bin():
    rng = np.random.default_rng(2)
    values = rng.permutation(20_000) / 20_000.0
    found = resampled_quantiles(values, resampling(np.arange(20_000), rng))
    assert found.mean(axis=0) == pytest.approx(QUANTILES, abs=2 / MAX_BINS)


def test_the_interval_of_a_mean_has_the_width_that_theory_gives():
    """Standard error of a mean of 2,500 independent standard normal values: 0.02, so the interval is 0.0784 wide."""
    rng = np.random.default_rng(3)
    drawn = resampling(np.arange(2500), rng)
    assert drawn.draws.shape[1] == MAX_UNITS
    low, high = drawn.interval(resampled_means(rng.normal(size=2500), drawn))
    # 15%: the spread of an interval from 400 blocks (3.5%) and 999 resamples (5%), three times together.
    assert high - low == pytest.approx(2 * 1.96 * 0.02, rel=0.15)


def test_calls_of_one_application_are_drawn_together():
    apps = np.repeat(np.arange(20), 5)
    drawn = resampling(apps, np.random.default_rng(4))
    alone = resampling(np.arange(100), np.random.default_rng(4))
    values = pd.Series(apps).astype(float).to_numpy()  # equal within an application
    widths = [np.ptp(each.interval(resampled_means(values, each))) for each in (drawn, alone)]
    assert widths[0] == pytest.approx(widths[1] * 5**0.5, rel=0.25)
