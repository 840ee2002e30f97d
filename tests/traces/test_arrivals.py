"""Arrival processes have the rate and the variability they are asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.arrivals import all_at_once, gamma_arrivals, poisson_arrivals, trace_arrivals, uniform_arrivals


def test_poisson_arrivals_have_the_rate_and_a_cv_of_one():
    gaps = np.diff(poisson_arrivals(4.0, 40_001, np.random.default_rng(0)))
    # 40,000 exponential gaps: the mean's standard error is 0.5 %, the cv's about 0.7 %; four of each.
    assert gaps.mean() == pytest.approx(0.25, rel=0.02)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, rel=0.03)


@pytest.mark.parametrize("cv", [0.3, 2.0])
def test_gamma_arrivals_have_the_rate_and_the_cv(cv):
    gaps = np.diff(gamma_arrivals(4.0, cv, 100_001, np.random.default_rng(1)))
    # The mean's standard error is cv / sqrt(n) = 0.6 % at most; the cv's, from the fourth moment of a Gamma, 1 %.
    assert gaps.mean() == pytest.approx(0.25, rel=0.025)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.04)


def test_uniform_arrivals_are_evenly_spaced_from_zero():
    assert uniform_arrivals(2.0, 3).tolist() == [0.0, 0.5, 1.0]


def test_all_at_once_is_one_instant():
    assert all_at_once(3, at=2.0).tolist() == [2.0, 2.0, 2.0]


def test_trace_arrivals_are_sorted_and_start_at_zero():
    assert trace_arrivals(np.array([7.0, 5.0, 10.0])).tolist() == [0.0, 2.0, 5.0]


@given(st.lists(st.integers(0, 10**15), min_size=2, max_size=50, unique=True), st.floats(0.1, 100))
def test_trace_arrivals_are_stretched_to_the_rate_and_keep_their_shape(nanoseconds, rate):
    instants = [ns / 1e9 for ns in nanoseconds]
    plain, scaled = trace_arrivals(np.array(instants)), trace_arrivals(np.array(instants), rate=rate)

    assert (len(scaled) - 1) / scaled[-1] == pytest.approx(rate)
    np.testing.assert_allclose(scaled / scaled[-1], plain / plain[-1])


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_that_is_not_positive_and_finite_is_refused(rate):
    with pytest.raises(ValueError, match=r"rate=.* must be a positive finite number"):
        poisson_arrivals(rate, 5, np.random.default_rng(0))


def test_the_same_seed_gives_the_same_arrivals():
    first, second = (gamma_arrivals(1.0, 2.0, 50, np.random.default_rng(7)) for _ in range(2))
    assert first.tolist() == second.tolist()
