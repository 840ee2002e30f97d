"""Applications of one call each, lengths given as an array: the classic load of a serving benchmark."""

from __future__ import annotations

import numpy as np

from traces.generators.building import build
from traces.workload import Call, Workload, text


def single_calls(lengths: np.ndarray, arrivals: np.ndarray, *, name: str = "single calls") -> Workload:
    """One application of one call for each row of `lengths`; no two prompts share text.

    Parameters
    ----------
    lengths : (num_calls, 2) int array, tokens
        Prompt and output length of each call (`traces.generators.lengths`).
    arrivals : (num_calls,) float array, seconds

    Raises
    ------
    ValueError
        When the arrays differ in length or a count is not positive.

    Examples
    --------
    >>> single_calls(np.array([[512, 128], [64, 8]]), np.array([0.0, 1.5])).applications[1].arrival
    1.5
    """
    if len(lengths) != len(arrivals):
        raise ValueError(f"{name}: {len(lengths)} lengths and {len(arrivals)} arrivals must be equally many")
    rows = np.asarray(lengths).tolist()

    def calls(app_id: str, index: int) -> tuple[Call]:
        num_prompt_tokens, num_output_tokens = rows[index]
        return (Call("call", (text(f"{app_id}-prompt", num_prompt_tokens),), num_output_tokens),)

    return build(name, "r", arrivals, calls)
