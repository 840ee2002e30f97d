"""Shortest job first: the call with the least work."""

from __future__ import annotations

from policies.interface import CallView, Policy
from policies.work import OUTPUT_WEIGHT, Lengths, Misprediction, predicted_length, require_weight


class ShortestJob(Policy):
    """Calls with the least predicted work first; applications are not looked at.

    Parameters
    ----------
    lengths : "oracle" or "declared"
        Where output lengths come from: the truth, or the workload's `predicted_output_tokens`.
    error : float
        Relative error of a predictor put on top (`policies.work.Misprediction`); 0 for none.
    seed : int
        Of that error.
    output_weight : float
        Prompt tokens that one output token counts.

    Raises
    ------
    ValueError
        When `error` is negative or `output_weight` is not positive.

    Notes
    -----
    Least mean response time on one server when all jobs are there and none is interrupted (Smith, Naval Research
    Logistics Quarterly 3, 1956, section 2); for LLM calls with predicted lengths as in Zheng et al., NeurIPS 2023.
    Starves long calls. Left out: the rest of the application, which is why `shortest-path` exists.
    """

    uses_oracle = True

    def __init__(
        self, lengths: Lengths = "oracle", error: float = 0.0, seed: int = 0, output_weight: float = OUTPUT_WEIGHT
    ) -> None:
        self._lengths: Lengths = lengths
        self._misprediction = Misprediction(error, seed)
        self._output_weight = require_weight(output_weight)
        self.uses_oracle = lengths == "oracle"

    def rank(self, call: CallView, now: float) -> float:
        return call.num_prompt_tokens + self._output_weight * predicted_length(call, self._lengths, self._misprediction)
