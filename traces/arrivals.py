"""Arrival instants of applications: (num_applications,) float arrays, seconds from the start of the run, ascending."""

from __future__ import annotations

import numpy as np


def all_at_once(num_applications: int, at: float = 0.0) -> np.ndarray:
    """Every application arrives at the same instant."""
    return np.full(_count(num_applications), at, dtype=np.float64)


def uniform_arrivals(rate: float, num_applications: int) -> np.ndarray:
    """Evenly spaced arrivals, `rate` a second, the first at 0."""
    return np.arange(_count(num_applications)) / _rate(rate)


def poisson_arrivals(rate: float, num_applications: int, rng: np.random.Generator) -> np.ndarray:
    """Poisson process of `rate` applications a second: independent exponential gaps."""
    return np.cumsum(rng.exponential(1 / _rate(rate), size=_count(num_applications)))


def gamma_arrivals(rate: float, cv: float, num_applications: int, rng: np.random.Generator) -> np.ndarray:
    """Renewal process with Gamma-distributed gaps.

    Parameters
    ----------
    rate : float, applications per second
    cv : float
        Coefficient of variation of the gaps: 1 is Poisson, more is burstier.

    Notes
    -----
    A Gamma variable of shape k has a coefficient of variation of 1/sqrt(k) and a mean of k times its scale.
    """
    if not cv > 0:
        raise ValueError(f"cv={cv!r} must be positive")
    return np.cumsum(rng.gamma(1 / cv**2, cv**2 / _rate(rate), size=_count(num_applications)))


def trace_arrivals(instants: np.ndarray, rate: float | None = None) -> np.ndarray:
    """Recorded instants, shifted to start at 0 and, on request, stretched to a wanted rate.

    Parameters
    ----------
    instants : (num_applications,) float array, seconds
        In any order; returned in ascending order.
    rate : float, applications per second, optional
        Mean rate after stretching, (num_applications - 1) / span. The shape of the bursts stays.
    """
    shifted: np.ndarray = np.sort(np.asarray(instants, dtype=np.float64))
    shifted = shifted - shifted[0] if len(shifted) else shifted
    if not np.isfinite(shifted).all():
        raise ValueError("instants must be finite numbers of seconds")
    if rate is None or len(shifted) < 2 or shifted[-1] == 0:
        return shifted
    shifted /= shifted[-1]  # first to [0, 1], so that no span is too short to stretch
    shifted *= (len(shifted) - 1) / _rate(rate)
    return shifted


def _rate(rate: float) -> float:
    if not 0 < rate < float("inf"):
        raise ValueError(f"rate={rate!r} must be a positive finite number of applications per second")
    return rate


def _count(num_applications: int) -> int:
    if type(num_applications) is not int or num_applications < 1:
        raise ValueError(f"num_applications={num_applications!r} must be a positive integer")
    return num_applications
