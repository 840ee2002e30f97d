"""A step's duration is linear in the fitted terms; this finds them by robust non-negative least squares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls

#: Relative error from which on a point counts linearly, not quadratically (Huber).
HUBER_RELATIVE = 0.01
NUM_REWEIGHTINGS = 20


def rises(count: int, knots: Sequence[int]) -> list[float]:
    """How far a count has come from each knot to the next, between 0 and 1, and more beyond the last knot.

    The coefficient of each is the rise of a curve there, so that non-negative coefficients make the curve monotone.
    """
    rises = []
    for index in range(1, len(knots)):
        left, right = knots[index - 1], knots[index]
        rise = max(0.0, (count - left) / (right - left))
        rises.append(rise if index == len(knots) - 1 else min(rise, 1.0))
    return rises


def robust_nnls(matrix: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Non-negative coefficients with the smallest Huber loss of errors relative to `seconds`.

    Parameters
    ----------
    matrix : (num_points, num_terms) float
    seconds : (num_points,) float
        Measured durations.
    """
    return huber_lstsq(matrix, seconds, seconds)


def huber_lstsq(matrix: np.ndarray, target: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Non-negative coefficients with the smallest Huber loss of ``(matrix @ x - target) / seconds``.

    Parameters
    ----------
    matrix : (num_points, num_terms) float
    target : (num_points,) float
        What the terms must explain: the measured duration less what is known.
    seconds : (num_points,) float
        Measured durations; errors are relative to them.

    References
    ----------
    Huber, Ann. Math. Statist. 35 (1964) 73, by iteratively reweighted least squares.
    """
    relative, wanted = matrix / seconds[:, None], target / seconds
    scale = np.maximum(relative.max(axis=0), 1e-300)  # columns of one size, so that the solver's tolerance fits all
    solution = np.zeros(matrix.shape[1])
    weights = np.ones(len(seconds))
    for _ in range(NUM_REWEIGHTINGS):
        root = np.sqrt(weights)
        before, solution = solution, nnls(relative / scale * root[:, None], wanted * root)[0]
        if np.allclose(solution, before, rtol=1e-9, atol=0.0):
            break
        errors = np.abs(relative / scale @ solution - wanted)
        weights = np.minimum(1.0, HUBER_RELATIVE / np.maximum(errors, 1e-12))
    coefficients: np.ndarray = solution / scale
    return coefficients
