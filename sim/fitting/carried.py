"""Carry a calibrated step cost to a card with the same chip and other memory, by a few steps measured there.

What the chip does alone stays as calibrated: reading what its cache holds again, waves of thread blocks at few calls,
query-key pairs, the fixed cost of a step with prefills. Fitted to the other card's steps: the curve of the tokens
(streaming the weights and how arithmetic takes over), reading the KV cache from memory, how much each further decoding
call adds, and host time. A call's context is read no faster than the chip alone could on the calibrated card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from scipy.optimize import least_squares

from sim.fitting.linear import HUBER_RELATIVE
from sim.fitting.output import curve_table, rounded
from sim.fitting.timelines import StepPoint
from sim.profile import CurveTable, Terms, step_cost_of
from sim.step_cost import Curve

_KNOTS = (1, 128, 256, 512, 1024, 2048, 4096)
_DENSE = tuple(f"dense[{index}]" for index in range(len(_KNOTS)))

#: Seconds from which the fit of a host time starts.
_HOST_START = {"synchronous_decode": 1e-5}


class Measured(NamedTuple):
    """Consecutive steps of the other card, with their time together.

    Parameters
    ----------
    steps : list of StepPoint
    host : mapping of str to float
        How often each host time is in theirs, beyond what the steps cost: `synchronous_step` and `synchronous_decode`
        as in `sim.profile.Terms`; any other name is the caller's.
    """

    steps: list[StepPoint]
    host: Mapping[str, float]

    @property
    def seconds(self) -> float:
        return sum(step.seconds for step in self.steps)


def carry(terms: Terms, measured: Sequence[Measured], known: Mapping[str, float]) -> tuple[Terms, dict[str, float]]:
    """Terms for the other card.

    Parameters
    ----------
    terms : Terms
        Of the calibrated card.
    measured : sequence of Measured
        Steps of the other card, asynchronous but for the host times they name.
    known : mapping of str to float
        Coefficients that are not fitted; see `Returns`.

    Returns
    -------
    terms : Terms
    coefficients : dict of str to float
        `dense[i]`, rises of the curve of the tokens to its knots, seconds; `reading`, a context token from memory,
        seconds; `batch`, the calibrated `decode_batch` times this; host times by their names, seconds.

    Notes
    -----
    Huber loss of relative errors of the very code that simulations use, by SciPy's trust-region least squares; no
    coefficient is negative.
    """
    start = _start(terms, measured)
    free = [name for name in start if name not in known]
    scale = np.array([start[name] for name in free])
    seconds = np.array([each.seconds for each in measured])

    def coefficients(x: np.ndarray) -> dict[str, float]:
        return {**dict(zip(free, (x * scale).tolist(), strict=True)), **known}

    def errors(x: np.ndarray) -> np.ndarray:
        values = coefficients(x)
        relative: np.ndarray = np.array(_predicted(_carried(terms, values), measured, values)) / seconds - 1
        return relative

    found = least_squares(errors, np.ones(len(free)), bounds=(0, np.inf), loss="huber", f_scale=HUBER_RELATIVE)
    values = coefficients(found.x)
    return _rounded(_carried(terms, values)), values


def _start(terms: Terms, measured: Sequence[Measured]) -> dict[str, float]:
    """Coefficients of the calibrated card, and some host time."""
    dense = Curve(terms.dense.counts, terms.dense.seconds)
    rises = np.diff([dense(count) for count in _KNOTS], prepend=0.0).tolist()
    hosts = sorted({name for each in measured for name in each.host})
    return {
        **dict(zip(_DENSE, rises, strict=True)),
        "reading": terms.decode_context.seconds[-1],
        "batch": 1.0,
        **{name: _HOST_START.get(name, 1e-3) for name in hosts},
    }


def _carried(terms: Terms, values: Mapping[str, float]) -> Terms:
    """The calibrated terms with the other card's coefficients."""
    batch, context, reading = terms.decode_batch, terms.decode_context, values["reading"]
    return msgspec.structs.replace(
        terms,
        dense=CurveTable(_KNOTS, tuple(np.cumsum([values[name] for name in _DENSE]).tolist())),
        decode_batch=CurveTable(batch.counts, tuple(values["batch"] * seconds for seconds in batch.seconds)),
        decode_context=CurveTable(context.counts, tuple(max(seconds, reading) for seconds in context.seconds)),
        synchronous_seconds_per_step=values["synchronous_step"],
        synchronous_seconds_per_decode=values["synchronous_decode"],
    )


def _rounded(terms: Terms) -> Terms:
    curves = {name: getattr(terms, name) for name in ("dense", "decode_batch", "decode_context")}
    return msgspec.structs.replace(
        terms,
        **{name: curve_table(curve.counts, curve.seconds) for name, curve in curves.items()},
        synchronous_seconds_per_step=rounded(terms.synchronous_seconds_per_step),
        synchronous_seconds_per_decode=rounded(terms.synchronous_seconds_per_decode),
    )


def _predicted(terms: Terms, measured: Sequence[Measured], values: Mapping[str, float]) -> list[float]:
    cost = step_cost_of(terms, async_scheduling=True)
    return [
        sum(cost.step(step.num_decodes, step.num_context_tokens, step.prefills) for step in each.steps)
        + sum(times * values[name] for name, times in each.host.items())
        for each in measured
    ]
