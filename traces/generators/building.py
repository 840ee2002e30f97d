"""What all generators share: checks of their arguments, and one application per arrival instant."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from traces.arrivals import all_at_once
from traces.validation import validate_workload
from traces.workload import Application, Call, Workload


def build(name: str, prefix: str, arrivals: np.ndarray | None, calls: Callable[[str, int], Sequence[Call]]) -> Workload:
    """Workload of one application per arrival, with ids `prefix` + index.

    Parameters
    ----------
    name, prefix : str
    arrivals : (num_applications,) float array, seconds, optional
        A single application at 0 by default.
    calls : callable of (application id, index) to the calls of that application
        Texts local to the application are named after its id, so that no other one shares them.

    Raises
    ------
    ValueError
        When the result is not a valid workload, for instance because an arrival is negative.
    """
    instants = all_at_once(1) if arrivals is None else arrivals
    applications = (
        Application(f"{prefix}{index}", float(at), tuple(calls(f"{prefix}{index}", index)))
        for index, at in enumerate(instants)
    )
    workload = Workload(name, tuple(applications))
    validate_workload(workload, source=name)
    return workload


def require_positive(**counts: int) -> None:
    """Refuse any argument that is not an integer of at least 1, by its name."""
    for name, value in counts.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"{name}={value!r} must be a positive integer")
