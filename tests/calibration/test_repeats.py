"""The noise of a calibration is told from windows that ran the same."""

import numpy as np
import pytest

from realexec.calibration.repeats import repeated_windows
from sim.fitting.samples import Load, Sample
from sim.step_cost import UNSHARED


def window(seconds, *, chunk=512, context=100, **changes):
    """A prefill beside one decoding call, with the steps around it."""
    loads = tuple(Load(1, context, chunks, UNSHARED) for chunks in ((), ((chunk, 0),), ()))
    return Sample("p", "prefill", False, True, False, seconds, 1, 0.0, False, loads)._replace(**changes)


def test_the_longest_window_is_compared_with_the_shortest_that_ran_the_same():
    repeats = repeated_windows([window(0.040), window(0.042, context=130), window(0.041), window(0.05, chunk=100)])
    assert repeats[:2] == (1, 3)
    assert repeats.spread == pytest.approx(0.05)


def test_deviations_are_those_of_the_noise_however_few_windows_repeat():
    rng = np.random.default_rng(1)
    for size in (2, 5):
        samples = [window(0.03 * rng.normal(1, 0.02), chunk=chunk) for chunk in range(1, 2001) for _ in range(size)]
        repeats = repeated_windows(samples)
        # The median and the 95th percentile of |x|, x standard normal, are 0.6745 and 1.960.
        assert repeats.median == pytest.approx(0.6745 * 0.02, rel=0.04)
        assert repeats.p95 == pytest.approx(1.960 * 0.02, rel=0.04)


@pytest.mark.parametrize("changes", [{"is_first": True}, {"asynchronous": False}])
def test_windows_of_an_idle_engine_or_of_synchronous_scheduling_do_not_count(changes):
    assert repeated_windows([window(0.04, **changes), window(0.05, **changes)]) is None
