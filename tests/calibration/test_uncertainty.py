"""Profiles drawn from the uncertainty of a fit, and the intervals of a simulation that follow from them."""

import msgspec
import numpy as np
import pytest

from dovetail.intervals import intervals, rerun
from policies.gateway import Gateway
from policies.load import load_policy
from sim.profile import Uncertainty, check_profile, load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from sim.uncertainty import coefficients, drawn_profiles, standard_errors, with_coefficients
from traces.workload import Application, Call, Workload, text

PLAIN = load_profile("a100-llama-13b")
NAMES = ("dense[0]", "decode_context[0]")
STEADY = {"dense[0]": 1e-4, "decode_context[0]": 1e-8}
COVARIANCE = tuple(tuple(STEADY[a] ** 2 if a == b else 0.0 for b in NAMES) for a in NAMES)
UNCERTAIN = msgspec.structs.replace(PLAIN, uncertainty=Uncertainty(NAMES, COVARIANCE))
BATCH = Workload("batch", tuple(Application(str(n), 0.0, (Call("c", (text(str(n), 200),), 50),)) for n in range(16)))


def test_coefficients_put_together_again_give_the_terms_they_came_from():
    for name in ("h100-llama-13b", "a100-llama-13b-tp2"):
        terms = load_profile(name).terms
        again = with_coefficients(terms, coefficients(terms))
        assert coefficients(again) == pytest.approx(coefficients(terms), rel=1e-9)


def test_draws_have_the_mean_and_spread_of_the_fit():
    draws = [coefficients(each.terms) for each in drawn_profiles(UNCERTAIN, 2000, np.random.default_rng(0))]
    for name, error in STEADY.items():
        values = [draw[name] for draw in draws]
        assert np.mean(values) == pytest.approx(coefficients(PLAIN.terms)[name], abs=0.1 * error)
        assert np.std(values) == pytest.approx(error, rel=0.1)


def test_every_draw_is_a_profile_that_may_be_used():
    wide = tuple(tuple(1e4 * value for value in row) for row in COVARIANCE)
    profile = msgspec.structs.replace(PLAIN, uncertainty=Uncertainty(NAMES, wide))
    for index, drawn in enumerate(drawn_profiles(profile, 50, np.random.default_rng(0))):
        if drawn.terms.dense.seconds[0] > 0:
            check_profile(drawn, f"draw {index}")
        assert min(coefficients(drawn.terms).values()) >= 0


def test_a_profile_without_uncertainty_is_refused():
    with pytest.raises(ValueError, match="'a100-llama-13b' holds no uncertainty"):
        next(drawn_profiles(PLAIN, 3, np.random.default_rng(0)))


def test_standard_errors_are_the_roots_of_the_diagonal():
    assert standard_errors(UNCERTAIN) == pytest.approx(STEADY)
    assert standard_errors(PLAIN) == {}


@pytest.mark.parametrize(
    ("covariance", "rule"),
    [(((1.0,),), "square"), (((1.0, 0.0), (0.0, float("inf"))), "finite")],
)
def test_a_covariance_that_cannot_be_one_is_refused(covariance, rule):
    broken = msgspec.structs.replace(PLAIN, uncertainty=Uncertainty(NAMES, covariance))
    with pytest.raises(ValueError, match=rule):
        check_profile(broken, "file")


def test_intervals_hold_the_value_and_follow_the_uncertainty_of_a_step():
    cluster = SimulatedCluster(UNCERTAIN, 1, settings_of(UNCERTAIN))
    policy = load_policy("fifo", (), seed=0)
    records = simulate(BATCH, policy.policy, cluster)
    profiles = list(drawn_profiles(UNCERTAIN, 40, np.random.default_rng(0)))
    frame = intervals(records, rerun(BATCH, lambda: [load_policy("fifo", (), seed=0)], cluster, Gateway(), profiles))
    makespan = frame.set_index("figure").loc["makespan"]
    assert makespan.low < makespan.value < makespan.high
    # 51 steps or so of 1e-4 s standard error each, all in one direction; 3.3 of them from percentile 5 to 95.
    assert makespan.high - makespan.low == pytest.approx(3.3 * 51e-4, rel=0.5)
