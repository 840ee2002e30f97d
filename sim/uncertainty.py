"""Profiles drawn from what a fit left uncertain, so that a simulation can say how far to trust its figures.

Left out: what differs between two cards of one type or two days, and the error of the model's form. The draws cover the
measured points alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sim.profile import CurveTable, Profile, Terms

#: Curves that never fall: their coefficients are the first value and the rise to each further knot.
RISING = ("dense", "decode_batch", "all_reduce")
_FREE = ("decode_context", "repeated_context")
_SCALARS = (
    "seconds_per_attention_pair",
    "seconds_per_prefill_token",
    "seconds_per_prefill",
    "seconds_per_mixed_step",
    "seconds_after_launch",
    "seconds_per_step",
    "synchronous_seconds_per_step",
    "synchronous_seconds_per_decode",
    "synchronous_seconds_per_mixed_step",
    "synchronous_seconds_per_mixed_decode",
    "synchronous_seconds_per_prefill",
    "synchronous_seconds_per_prefill_token",
)


def coefficients(terms: Terms) -> dict[str, float]:
    """Every number of the terms that a fit may choose, by name; all non-negative.

    Returns
    -------
    dict of str to float, seconds
        `dense[0]` is the value at the first knot, `dense[1]` the rise from there to the second one, and so on for
        curves that never fall; `decode_context[1]` is the value at the second knot.
    """
    named: dict[str, float] = {}
    for name in RISING:
        named |= _indexed(name, np.diff(getattr(terms, name).seconds, prepend=0.0))
    for name in _FREE:
        if (table := getattr(terms, name)) is not None:
            named |= _indexed(name, table.seconds)
    return named | {name: getattr(terms, name) for name in _SCALARS}


def with_coefficients(terms: Terms, values: Mapping[str, float]) -> Terms:
    """`terms` with some coefficients replaced."""
    merged = coefficients(terms) | dict(values)
    changes: dict[str, float | CurveTable] = {name: merged[name] for name in _SCALARS}
    for name in (*RISING, *_FREE):
        if (table := getattr(terms, name)) is not None:
            seconds = [merged[f"{name}[{index}]"] for index in range(len(table.counts))]
            seconds = np.cumsum(seconds).tolist() if name in RISING else seconds
            changes[name] = msgspec.structs.replace(table, seconds=tuple(seconds))
    return msgspec.structs.replace(terms, **changes)


def standard_errors(profile: Profile) -> dict[str, float]:
    """Standard error of each coefficient that has one, in seconds."""
    if profile.uncertainty is None:
        return {}
    names, covariance = profile.uncertainty.coefficients, profile.uncertainty.covariance
    return {name: max(covariance[index][index], 0.0) ** 0.5 for index, name in enumerate(names)}


def drawn_profiles(profile: Profile, num_draws: int, rng: np.random.Generator) -> Iterator[Profile]:
    """Profiles whose terms are drawn from the normal distribution of the fit, cut off at zero.

    Parameters
    ----------
    profile : Profile
    num_draws : int
    rng : numpy.random.Generator

    Raises
    ------
    ValueError
        When the profile does not say how uncertain its terms are.
    """
    if profile.uncertainty is None:
        raise ValueError(f"profile {profile.name!r} holds no uncertainty; only those of `dovetail calibrate` do")
    names = profile.uncertainty.coefficients
    named = coefficients(profile.terms)
    if unknown := [name for name in names if name not in named]:
        raise ValueError(f"profile {profile.name!r}: uncertainty.coefficients: {unknown[0]!r} is no term of it")
    mean = np.array([named[name] for name in names])
    scale = np.where(mean > 0, mean, 1.0)  # terms differ by a factor of a million: drawn relative to their size
    covariance = np.array(profile.uncertainty.covariance).reshape(len(names), len(names)) / np.outer(scale, scale)
    variances, axes = np.linalg.eigh(covariance)
    root = axes * np.sqrt(np.maximum(variances, 0.0))  # a rounded covariance may have eigenvalues just below zero
    draws = (mean / scale + rng.standard_normal((num_draws, len(names))) @ root.T) * scale
    for draw in np.maximum(draws, 0.0):
        terms = with_coefficients(profile.terms, dict(zip(names, draw.tolist(), strict=True)))
        yield msgspec.structs.replace(profile, terms=terms)


def _indexed(name: str, values: np.ndarray | tuple[float, ...]) -> dict[str, float]:
    return {f"{name}[{index}]": float(value) for index, value in enumerate(values)}
