"""Least attained service of programs: what has been served little so far goes first."""

from __future__ import annotations

from typing import Literal

from policies.interface import CallView, Event, EventKind, Policy
from policies.work import OUTPUT_WEIGHT, require_weight


class LeastAttained(Policy):
    """Calls of the application that has received the least service first.

    Parameters
    ----------
    service : "critical-path" or "total"
        What an application has attained: the service along its longest chain of finished calls so far (ATLAS in the
        paper, for programs whose calls run in parallel), or the service of all its finished calls (PLAS, for programs
        that are one thread; the two agree there).
    output_weight : float
        Prompt tokens that one output token counts.

    Raises
    ------
    ValueError
        When `output_weight` is not positive.

    Notes
    -----
    Autellix (Luo et al., arXiv 2502.13965, 2025, section 4: program-level and thread-level attained service). It needs
    no prediction: a program that has run for long is likely to run on. A call takes what its application has attained
    when it is submitted; a finished call raises that to its own value plus its service, if that is more.

    Left out: preemption of running calls; the discretisation into queues with quanta, which is there to bound
    preemptions; the promotion of starving programs, so long ones starve under sustained load; and the paper's load
    balancer, for which there is `--routing prefix-affinity`. Service is counted in tokens, since a gateway does not
    see the time a call spends in the batch.
    """

    def __init__(
        self, service: Literal["critical-path", "total"] = "critical-path", output_weight: float = OUTPUT_WEIGHT
    ) -> None:
        self._sums = service == "total"
        self._output_weight = require_weight(output_weight)
        self._attained: dict[str, float] = {}
        self._started_from: dict[tuple[str, str], float] = {}  # value of `_attained` when the call was submitted

    def observe(self, event: Event) -> None:
        call = event.call
        if call is None:
            return
        if event.kind is EventKind.CALL_SUBMITTED:
            self._started_from[call.app_id, call.call_id] = self._attained.get(call.app_id, 0.0)
        elif event.kind is EventKind.CALL_FINISHED:
            before = self._started_from.pop((call.app_id, call.call_id))
            attained = self._attained.get(call.app_id, 0.0)
            service = call.num_prompt_tokens + self._output_weight * (event.num_output_tokens or 0)
            self._attained[call.app_id] = attained + service if self._sums else max(attained, before + service)
        elif event.kind is EventKind.CALL_FAILED:
            self._started_from.pop((call.app_id, call.call_id), None)  # one that never started has no entry

    def rank(self, call: CallView, now: float) -> float:
        return self._attained.get(call.app_id, 0.0)
