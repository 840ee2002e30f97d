"""Policies against each other on equal workloads: paired differences over seeds, with a t-interval."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from policies.gateway import Gateway
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate


@dataclass(frozen=True)
class Difference:
    """Mean over seeds of `policy - other`, relative to the mean of `other`, with its 99 % t-interval."""

    mean: float
    low: float
    high: float

    @property
    def is_gain(self):
        return self.high < 0.0

    @property
    def is_loss(self):
        return self.low > 0.0


def mean_jct(calls, only=""):
    """Mean JCT of the applications whose name begins with `only`, seconds."""
    own = calls[calls.app.str.startswith(only)]
    return float((own.groupby("app").finished_at.max() - own.groupby("app").app_arrived_at.first()).mean())


class Comparison:
    """Runs pairs of policies, each made anew, on the same workloads on engines of the profile `h100-llama-13b`."""

    def __init__(self, workload, *, num_engines=1, window=0, num_seeds=8, **limits):
        profile = load_profile("h100-llama-13b")
        self._cluster = SimulatedCluster(profile, num_engines, settings_of(profile, **limits))
        self._workloads = [workload(np.random.default_rng(seed)) for seed in range(num_seeds)]
        self._gateway = Gateway(window=window)
        self._runs = {}

    def calls(self, make_policy):
        """Call records of one policy, a table for each seed."""
        if make_policy not in self._runs:
            runs = [simulate(each, make_policy(), self._cluster, self._gateway) for each in self._workloads]
            self._runs[make_policy] = [run.calls for run in runs]
        return self._runs[make_policy]

    def difference(self, make_policy, make_other, metric=mean_jct):
        ours, theirs = (np.array([metric(calls) for calls in self.calls(make)]) for make in (make_policy, make_other))
        result = stats.ttest_1samp((ours - theirs) / theirs.mean(), 0.0)
        low, high = result.confidence_interval(0.99)
        return Difference(float((ours - theirs).mean() / theirs.mean()), float(low), float(high))


@pytest.fixture
def comparison():
    return Comparison


@pytest.fixture
def jct_of():
    """Metric: mean JCT of the applications whose name begins so."""
    return lambda prefix: lambda calls: mean_jct(calls, prefix)
