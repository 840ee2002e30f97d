"""Network latency between a client and the service: one distribution, drawn once per call.

A latency is written as one word: `0.25` (fixed), `uniform:LOW:HIGH`, `exponential:MEAN` or `lognormal:MEAN:CV`, in
seconds; CV is the coefficient of variation, standard deviation over mean. Leaves out bandwidth and loss: prompts are a
few kilobytes of text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: Parameters of each distribution, as they are named in messages.
SHAPES = {
    "fixed": ("SECONDS",),
    "uniform": ("LOW", "HIGH"),
    "exponential": ("MEAN",),
    "lognormal": ("MEAN", "CV"),
}

#: Largest parameter: instants of a workload go up to 1e9 seconds, too, so that differences of microseconds are kept.
_MOST = 1e9


@dataclass(frozen=True, slots=True)
class NetworkLatency:
    """Distribution of the seconds slept before a call is submitted.

    Parameters
    ----------
    shape : str
        One of `SHAPES`.
    parameters : tuple of float
        As many as `SHAPES` names; seconds, but for the coefficient of variation.

    Raises
    ------
    ValueError
        When the shape is unknown, or a parameter is missing, negative, not finite or above 1e9.
    """

    shape: str = "fixed"
    parameters: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"network latency shape={self.shape!r} must be one of {', '.join(SHAPES)}")
        names = SHAPES[self.shape]
        if len(self.parameters) != len(names):
            raise ValueError(f"network latency {self} must be {':'.join((self.shape, *names))}")
        for name, value in zip(names, self.parameters, strict=True):
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"network latency {self}: {name}={value:g} must be finite and not negative")
            if value > _MOST:
                raise ValueError(f"network latency {self}: {name}={value:g} must be at most {_MOST:g}")
        if self.shape == "uniform" and self.parameters[0] > self.parameters[1]:
            raise ValueError(f"network latency {self}: LOW must not exceed HIGH")

    def __str__(self) -> str:
        values = [f"{value:g}" for value in self.parameters]
        return ":".join(values if self.shape == "fixed" else [self.shape, *values])

    @property
    def mean(self) -> float:
        """Expected latency, seconds."""
        return sum(self.parameters) / 2 if self.shape == "uniform" else self.parameters[0]

    def draw(self, num_calls: int, rng: np.random.Generator) -> np.ndarray:
        """Latency of each call, (num_calls,) float, seconds."""
        sampler: dict[str, Callable[..., np.ndarray]] = {
            "fixed": lambda value: np.full(num_calls, value),
            "uniform": lambda low, high: rng.uniform(low, high, num_calls),
            "exponential": lambda mean: rng.exponential(mean, num_calls),
            "lognormal": lambda mean, cv: _lognormal(mean, cv, num_calls, rng),
        }
        return sampler[self.shape](*self.parameters)


def parse_network_latency(text: str) -> NetworkLatency:
    """Read a latency as the command line writes it.

    Raises
    ------
    ValueError
        One line that quotes the text and names the rule.

    Examples
    --------
    >>> parse_network_latency("0.25").mean, parse_network_latency("lognormal:0.1:0.5").shape
    (0.25, 'lognormal')
    """
    first, *rest = text.split(":")
    shape, values = (first, rest) if first in SHAPES else ("fixed", [first, *rest])
    try:
        numbers = tuple(float(value) for value in values)
    except ValueError:
        forms = [":".join((name, *parameters)) for name, parameters in SHAPES.items() if name != "fixed"]
        raise ValueError(f"network latency {text!r} must be SECONDS, {', '.join(forms)}") from None
    return NetworkLatency(shape, numbers)


def _lognormal(mean: float, cv: float, num_calls: int, rng: np.random.Generator) -> np.ndarray:
    """Log-normal with the given mean: sigma^2 = ln(1 + cv^2), mu = ln(mean) - sigma^2 / 2."""
    if mean == 0.0:
        return np.zeros(num_calls)
    variance = math.log1p(cv**2)
    return rng.lognormal(math.log(mean) - variance / 2, math.sqrt(variance), num_calls)
