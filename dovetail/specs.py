"""Arrivals and lengths as the command line writes them: words with numbers, separated by colons."""

from __future__ import annotations

import numpy as np

from traces.arrivals import all_at_once, gamma_arrivals, poisson_arrivals, trace_arrivals, uniform_arrivals
from traces.files import load_workload
from traces.generators.lengths import LogNormal
from traces.generators.shared import SharedPrompt
from traces.wording import counted

#: Forms of an arrival process, for messages and help.
ARRIVALS = "at-once, uniform:RATE, poisson:RATE, gamma:RATE:CV or trace:WORKLOAD[:RATE]"

#: Forms of a length, for messages and help.
LENGTHS = "TOKENS or lognormal:MEDIAN:SIGMA:MOST"


def parse_arrivals(text: str, num_applications: int, rng: np.random.Generator) -> np.ndarray:
    """Arrival instants of an arrival process.

    Parameters
    ----------
    text : str
        One of `ARRIVALS`; rates are applications per second, CV is the coefficient of variation of the gaps.
        `trace` takes the instants of another workload's first applications, at their own or the given mean rate.
    num_applications : int
    rng : numpy.random.Generator

    Returns
    -------
    (num_applications,) float array, seconds

    Raises
    ------
    ValueError
        When the text is not of that form, or a value is out of range.
    """
    kind, *values = text.split(":")
    if kind == "trace" and values:
        return _recorded(values, num_applications, text)
    numbers = _numbers(values, f"arrivals {text!r} must be {ARRIVALS}")
    match kind, numbers:
        case "at-once", []:
            return all_at_once(num_applications)
        case "uniform", [rate]:
            return uniform_arrivals(rate, num_applications)
        case "poisson", [rate]:
            return poisson_arrivals(rate, num_applications, rng)
        case "gamma", [rate, cv]:
            return gamma_arrivals(rate, cv, num_applications, rng)
    raise ValueError(f"arrivals {text!r} must be {ARRIVALS}")


def parse_length(text: str) -> LogNormal:
    """Distribution of a token count; a bare number is the same for every call.

    Raises
    ------
    ValueError
        When the text is not of that form, or a value is out of range.

    Examples
    --------
    >>> parse_length("512").draw(2, np.random.default_rng(0)).tolist()
    [512, 512]
    """
    rule = f"length {text!r} must be {LENGTHS}"
    kind, *values = text.split(":")
    if kind == "lognormal" and len(values) == 3 and values[2].isdecimal():
        median, sigma = _numbers(values[:2], rule)
        return LogNormal(median, sigma, int(values[2]))
    if values or not kind.isdecimal():
        raise ValueError(rule)
    return LogNormal(float(kind), 0.0, int(kind))


def parse_assistant(text: str) -> SharedPrompt:
    """An assistant with a shared prompt: `NAME:PROMPT:QUERY:OUTPUT[:WEIGHT]`, in tokens.

    Raises
    ------
    ValueError
        When the text is not of that form, or a value is out of range.
    """
    rule = f"prompt {text!r} must be NAME:PROMPT:QUERY:OUTPUT[:WEIGHT], lengths in whole tokens"
    name, *values = text.split(":")
    if not name or len(values) not in (3, 4) or not all(value.isdecimal() for value in values[:3]):
        raise ValueError(rule)
    return SharedPrompt(name, *map(int, values[:3]), *_numbers(values[3:], rule))


def _recorded(values: list[str], num_applications: int, text: str) -> np.ndarray:
    """Arrivals of another workload; a last value that is a number is the wanted rate."""
    path, rate = ":".join(values), None
    if len(values) > 1:
        try:
            path, rate = ":".join(values[:-1]), float(values[-1])
        except ValueError:
            path = ":".join(values)
    instants = np.sort([application.arrival for application in load_workload(path).applications])
    if len(instants) < num_applications:
        raise ValueError(
            f"arrivals {text!r}: {path} has {counted(len(instants), 'application')}, not the {num_applications} wanted"
        )
    return trace_arrivals(instants[:num_applications], rate)


def _numbers(values: list[str], rule: str) -> list[float]:
    try:
        return [float(value) for value in values]
    except ValueError:
        raise ValueError(rule) from None
