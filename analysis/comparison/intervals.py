"""Confidence intervals of the errors of means and percentiles, by resampling whole applications.

Calls of one application, and calls that queued together, are not independent; so the unit that is drawn again is the
application, and with many applications a block of consecutive ones (the block bootstrap: Kuensch, Annals of Statistics
17, 1989). Percentile intervals. The intervals speak of the spread over the applications of these two runs; what another
run of the same workload would show is only known from repeats.

Quantiles of a resample need no sorting: each unit is a histogram over the sorted values, and a resample a weighted sum
of histograms. Above `MAX_BINS` values, neighbours in the sorted order share a bin, which moves a quantile by less than
1/`MAX_BINS` in rank.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Most resampling units; more applications than this are drawn in blocks of consecutive ones.
MAX_UNITS = 400

#: With fewer applications than this the unit is the call, or there would be hardly two different resamples.
MIN_APPLICATIONS = 10

MAX_BINS = 1000
NUM_RESAMPLES = 999

#: The percentiles of every error table, beside the mean.
QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Resampling:
    """Which unit each row belongs to, and how often each unit is drawn.

    Parameters
    ----------
    unit : numpy.ndarray
        (num_rows,) int.
    draws : numpy.ndarray
        (num_resamples, num_units) float; each row sums to the number of units.
    confidence : float
        Such as 0.95.
    """

    unit: np.ndarray
    draws: np.ndarray
    confidence: float

    def of(self, rows: np.ndarray) -> Resampling:
        """The same draws for some of the rows, a boolean mask or indices."""
        return Resampling(self.unit[rows], self.draws, self.confidence)

    def interval(self, statistics: np.ndarray) -> tuple[float, float]:
        """Low and high end of the interval of a statistic, from its value in every resample.

        NaN without variation between units: from a single one nothing can be said.
        """
        defined = statistics[np.isfinite(statistics)]
        if not len(defined) or self.draws.shape[1] < 2:
            return float("nan"), float("nan")
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(defined, [tail, 1 - tail])
        return float(low), float(high)


def resampling(apps: np.ndarray, rng: np.random.Generator, confidence: float = 0.95) -> Resampling:
    """Choose units for rows and draw resamples.

    Parameters
    ----------
    apps : numpy.ndarray
        (num_rows,) int from 0: application of each row, numbered by arrival.
    rng : numpy.random.Generator
    confidence : float
    """
    unit = apps if int(apps.max()) + 1 >= MIN_APPLICATIONS else np.arange(len(apps))
    num_units = int(unit.max()) + 1
    if num_units > MAX_UNITS:
        unit, num_units = unit * MAX_UNITS // num_units, MAX_UNITS
    draws = rng.multinomial(num_units, np.full(num_units, 1 / num_units), size=NUM_RESAMPLES)
    return Resampling(unit, draws.astype(float), confidence)


def resampled_means(values: np.ndarray, resample: Resampling) -> np.ndarray:
    """Mean of the defined values in every resample, (num_resamples,)."""
    defined = ~np.isnan(values)
    num_units = resample.draws.shape[1]
    unit = resample.unit[defined]
    totals = np.bincount(unit, values[defined], num_units)
    sizes = np.bincount(unit, minlength=num_units)
    with np.errstate(invalid="ignore"):  # a resample may hold no value at all
        means: np.ndarray = (resample.draws @ totals) / (resample.draws @ sizes)
    return means


def resampled_quantiles(values: np.ndarray, resample: Resampling) -> np.ndarray:
    """`QUANTILES` of the defined values in every resample, (num_resamples, len(QUANTILES)), linear interpolation."""
    defined = np.flatnonzero(~np.isnan(values))
    if not len(defined):
        return np.full((len(resample.draws), len(QUANTILES)), np.nan)
    order = defined[np.argsort(values[defined], kind="stable")]
    num_bins = min(len(order), MAX_BINS)
    bins = np.arange(len(order)) * num_bins // len(order)
    middles = np.bincount(bins, values[order]) / np.bincount(bins)
    num_units = resample.draws.shape[1]
    cells = np.bincount(resample.unit[order] * num_bins + bins, minlength=num_units * num_bins)
    below = np.cumsum(resample.draws @ cells.reshape(num_units, num_bins), axis=1)
    return np.stack([_quantile(middles, below, share) for share in QUANTILES], axis=1)


def _quantile(middles: np.ndarray, below: np.ndarray, share: float) -> np.ndarray:
    """One quantile of every resample: `below` counts the values up to each bin, (num_resamples, num_bins)."""
    rank = np.maximum(below[:, -1] - 1, 0) * share
    whole = np.floor(rank)
    lower, upper = (middles[(below > each[:, None]).argmax(axis=1)] for each in (whole, np.ceil(rank)))
    quantile: np.ndarray = lower + (rank - whole) * (upper - lower)
    return np.where(below[:, -1] > 0, quantile, np.nan)
