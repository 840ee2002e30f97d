"""Work of a call in tokens, with outputs weighed against prompts, and predictions of output lengths.

A token that is generated costs an engine more of its time than one that is prefilled.
"""

from __future__ import annotations

from math import exp
from statistics import NormalDist
from typing import Literal
from zlib import crc32

from policies.interface import CallView, PolicyError

#: Prompt tokens that cost an engine as much time as one output token. In the profile `h100-llama-13b`, decoding with
#: 512 tokens of context against prefill in steps of 2,048: 20 with 16 calls in the batch, 12 with 32, 7 with 64.
OUTPUT_WEIGHT = 10.0

#: "oracle": the true length, known to nobody in a deployment; "declared": the workload's prediction.
Lengths = Literal["oracle", "declared"]


def require_weight(output_weight: float) -> float:
    """The weight, refused where it is not positive."""
    if not 0.0 < output_weight < float("inf"):
        raise ValueError(f"output_weight={output_weight} must be positive and finite")
    return output_weight


class Misprediction:
    """The factor by which a predictor is wrong about a call: the same whenever, and in whatever order, it is asked.

    Parameters
    ----------
    error : float
        Standard deviation of the logarithm of prediction over truth, for small values the relative error; 0 is right.
    seed : int

    Raises
    ------
    ValueError
        When the error is negative.

    Notes
    -----
    Log-normal, so that predictions stay positive and the median is right. Drawn from a hash of the call's name: runs of
    different policies then suffer the same mistakes, which a shared random stream would not give.
    """

    def __init__(self, error: float, seed: int) -> None:
        if not 0.0 <= error < float("inf"):
            raise ValueError(f"error={error} must be finite and not negative")
        self._error = error
        self._seed = seed

    def __call__(self, call: CallView) -> float:
        if not self._error:
            return 1.0
        draw = crc32(f"{self._seed}\0{call.app_id}\0{call.call_id}".encode())
        return exp(self._error * NormalDist().inv_cdf((draw + 0.5) / 2**32))


def predicted_length(call: CallView, lengths: Lengths, misprediction: Misprediction) -> float:
    """Output tokens of a call, as predicted.

    Raises
    ------
    PolicyError
        When the workload declares none and is asked for it.
    """
    if lengths == "oracle":
        return call.oracle.num_output_tokens * misprediction(call)
    declared = call.predicted_output_tokens
    if declared is None:
        raise PolicyError(f"call {call.app_id}/{call.call_id}: lengths='declared' needs its predicted_output_tokens")
    return declared * misprediction(call)
