"""Earliest deadline first."""

from __future__ import annotations

from policies.interface import CallView, Policy


class EarliestDeadline(Policy):
    """Calls with the earliest deadline first, those without any last, in order of submission.

    Notes
    -----
    Meets all deadlines on one preemptive processor whenever that is possible (Dertouzos, IFIP Congress 1974; for
    periodic tasks Liu and Layland, Journal of the ACM 20(1), 1973, section 7). A call has to be done before what
    depends on it is due, so the earliest deadline of the call and its descendants counts. The time that those
    descendants need is not taken off; `least-laxity` does that. Left out: preemption, and refusing calls that are late
    already, so under overload it works on the most hopeless call first.
    """

    def rank(self, call: CallView, now: float) -> float:
        deadline = call.earliest_deadline_at
        return float("inf") if deadline is None else deadline
