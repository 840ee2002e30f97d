"""Token counts of calls: fixed, drawn from a log-normal distribution, or drawn from a table of real pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class LogNormal:
    """A log-normal distribution of token counts, given by what one can read off a trace.

    Parameters
    ----------
    median : float, tokens
    sigma : float
        Standard deviation of the logarithm; 0 makes every draw the median.
    most : int, tokens
        Longer draws are cut to this.
    """

    median: float
    sigma: float
    most: int

    def __post_init__(self) -> None:
        if not 0 < self.median < float("inf"):
            raise ValueError(f"median={self.median!r} must be a positive number of tokens")
        if not 0 <= self.sigma < float("inf"):
            raise ValueError(f"sigma={self.sigma!r} must be a finite number, at least 0")
        if self.most < 1:
            raise ValueError(f"most={self.most!r} must be at least 1 token")

    def draw(self, num_calls: int, rng: np.random.Generator) -> np.ndarray:
        """Token counts, (num_calls,) int, at least 1."""
        # Cut before rounding: a wild draw may lie beyond what an integer holds.
        counts = np.minimum(self.median * np.exp(self.sigma * rng.standard_normal(num_calls)), self.most)
        return np.maximum(np.rint(counts), 1).astype(np.int64)


def fixed_lengths(num_prompt_tokens: int, num_output_tokens: int, num_calls: int) -> np.ndarray:
    """Lengths, (num_calls, 2) int, tokens: the same prompt and output length for every call."""
    return np.tile([[num_prompt_tokens, num_output_tokens]], (num_calls, 1))


def lognormal_lengths(prompt: LogNormal, output: LogNormal, num_calls: int, rng: np.random.Generator) -> np.ndarray:
    """Lengths, (num_calls, 2) int, tokens: prompt and output drawn independently of each other."""
    return np.column_stack([prompt.draw(num_calls, rng), output.draw(num_calls, rng)])


def sampled_lengths(table: np.ndarray, num_calls: int, rng: np.random.Generator) -> np.ndarray:
    """Lengths, (num_calls, 2) int, tokens: rows of `table` drawn with replacement, so pairs stay together.

    Parameters
    ----------
    table : (num_rows, 2) int array, tokens
        Prompt and output lengths, for instance of a real trace (`traces.importers.lengths`).
    """
    if len(table) == 0:
        raise ValueError("table of lengths must have at least one row")
    return np.asarray(table)[rng.integers(len(table), size=num_calls)]
