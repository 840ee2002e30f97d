"""Applications of one call each, their lengths fixed or drawn: the classic load of a serving benchmark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from traces.generators.building import build
from traces.workload import Application, Call, Workload, text


def fixed_lengths(num_prompt_tokens: int, num_output_tokens: int, num_calls: int) -> np.ndarray:
    """Lengths, (num_calls, 2) int, tokens: the same prompt and output length for every call."""
    return np.tile([[num_prompt_tokens, num_output_tokens]], (num_calls, 1))


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal distribution of token counts, given by what one can read off a trace.

    Parameters
    ----------
    median : float, tokens
    sigma : float
        Standard deviation of the logarithm; 0 is a constant.
    most : int, tokens
        Longer draws are cut to this.
    """

    median: float
    sigma: float
    most: int

    def __post_init__(self) -> None:
        for name, valid in (("median", self.median > 0), ("sigma", self.sigma >= 0), ("most", self.most >= 1)):
            if not valid:
                raise ValueError(f"{name}={getattr(self, name)!r} must be positive (sigma may be 0)")

    def draw(self, num_calls: int, rng: np.random.Generator) -> np.ndarray:
        """Token counts, (num_calls,) int, at least 1."""
        counts = np.rint(self.median * np.exp(self.sigma * rng.standard_normal(num_calls)))
        return np.clip(counts, 1, self.most).astype(np.int64)


def lognormal_lengths(prompt: LogNormal, output: LogNormal, num_calls: int, rng: np.random.Generator) -> np.ndarray:
    """Lengths, (num_calls, 2) int, tokens: prompt and output drawn independently."""
    return np.column_stack([prompt.draw(num_calls, rng), output.draw(num_calls, rng)])


def sampled_lengths(table: np.ndarray, num_calls: int, rng: np.random.Generator) -> np.ndarray:
    """Lengths, (num_calls, 2) int, tokens: rows of `table` drawn with replacement, so the pairs stay together.

    Parameters
    ----------
    table : (num_rows, 2) int array, tokens
        Prompt and output lengths, for instance of a real trace (`traces.importers.lengths`).
    """
    if len(table) == 0:
        raise ValueError("table of lengths must have at least one row")
    return np.asarray(table)[rng.integers(len(table), size=num_calls)]


def single_calls(lengths: np.ndarray, arrivals: np.ndarray, *, name: str = "single calls") -> Workload:
    """One application of one call for each row of `lengths`; no two prompts share text.

    Parameters
    ----------
    lengths : (num_calls, 2) int array, tokens
        Prompt and output length of each call.
    arrivals : (num_calls,) float array, seconds

    Raises
    ------
    ValueError
        When the arrays differ in length or a count is not positive.

    Examples
    --------
    >>> single_calls(fixed_lengths(512, 128, 2), np.array([0.0, 1.5])).applications[1].arrival
    1.5
    """
    if len(lengths) != len(arrivals):
        raise ValueError(f"{name}: {len(lengths)} lengths and {len(arrivals)} arrivals must be equally many")
    rows = np.asarray(lengths).tolist()

    def application(app_id: str, arrival: float) -> Application:
        num_prompt_tokens, num_output_tokens = rows[int(app_id[1:])]
        call = Call("call", (text(f"{app_id}-prompt", num_prompt_tokens),), num_output_tokens)
        return Application(app_id, arrival, (call,))

    return build(name, "r", arrivals, application)
