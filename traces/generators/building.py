"""What all generators share: checks of their arguments, and one application per arrival instant."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from traces.validation import validate_workload
from traces.workload import Application, Workload


def at_start(num_applications: int) -> np.ndarray:
    """Arrival instants, (num_applications,) float, seconds: everything at 0."""
    return np.zeros(num_applications)


def build(name: str, prefix: str, arrivals: np.ndarray, application: Callable[[str, float], Application]) -> Workload:
    """Workload of one application per arrival, with ids `prefix` + index.

    Raises
    ------
    ValueError
        When the result is not a valid workload, for instance because an arrival is negative.
    """
    workload = Workload(name, tuple(application(f"{prefix}{i}", float(at)) for i, at in enumerate(arrivals)))
    validate_workload(workload, source=name)
    return workload


def require_positive(**counts: int) -> None:
    """Refuse any argument that is not an integer of at least 1, by its name."""
    for name, value in counts.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"{name}={value!r} must be a positive integer")
