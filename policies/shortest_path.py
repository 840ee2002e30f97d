"""Shortest remaining critical path: the call whose application has the least ahead of it."""

from __future__ import annotations

from typing import Literal

from policies.interface import CallView, Policy
from policies.work import OUTPUT_WEIGHT, Misprediction, require_weight


class ShortestPath(Policy):
    """Calls with the least work between them and the end of their application first.

    Parameters
    ----------
    measure : "path" or "application"
        Work ahead: that of the heaviest chain from the call to a sink of the graph, or that of all unfinished calls of
        the application. A path says how long an application must take; the sum says how much of the engines it needs,
        which matters more when they are busy.
    error : float
        Relative error of the predictor (`policies.work.Misprediction`); 0 knows the truth.
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
    Shortest remaining processing time (Schrage, Operations Research 16(3), 1968), which has the least mean response
    time on one server, with the remaining critical path of a graph in place of the remaining time. It is a heuristic
    for several servers and graphs. Always an oracle: even a wrong predictor is a distortion of the truth here.
    The rank is that at submission, one error a call; calls that run are not interrupted. Starves long applications.
    """

    uses_oracle = True

    def __init__(
        self,
        measure: Literal["path", "application"] = "path",
        error: float = 0.0,
        seed: int = 0,
        output_weight: float = OUTPUT_WEIGHT,
    ) -> None:
        self._of_application = measure == "application"
        self._misprediction = Misprediction(error, seed)
        self._output_weight = require_weight(output_weight)

    def rank(self, call: CallView, now: float) -> float:
        oracle = call.oracle
        ahead = oracle.remaining_application if self._of_application else oracle.remaining_path
        return ahead(self._output_weight) * self._misprediction(call)
