"""Least laxity first: the call that can wait the shortest."""

from __future__ import annotations

from policies.interface import CallView, Event, EventKind, Policy


class LeastLaxity(Policy):
    """Calls with the least time to spare before their deadline first, those without a deadline last.

    Parameters
    ----------
    seconds_per_call : float, seconds
        How long a call takes, until the first one has finished; from then on, the mean of those that have.

    Raises
    ------
    ValueError
        When `seconds_per_call` is negative.

    Notes
    -----
    Laxity is the deadline less now less the time still needed (Dertouzos and Mok, IEEE Transactions on Software
    Engineering 15(12), 1989). The time still needed is the number of calls on the longest chain from this one, times
    the mean time of a call from submission to end, wait included; no length is predicted. Now is the same for all that
    wait, so it drops out of the order and a call keeps its rank; a mean that changes later does not move it.
    Left out: preemption, the thrashing that comes with it, and differences between calls.
    """

    def __init__(self, seconds_per_call: float = 1.0) -> None:
        if not 0.0 <= seconds_per_call < float("inf"):
            raise ValueError(f"seconds_per_call={seconds_per_call} must be finite and not negative")
        self._seconds_per_call = seconds_per_call
        self._num_finished = 0

    def observe(self, event: Event) -> None:
        if event.kind is EventKind.CALL_FINISHED and event.call is not None:
            seconds = event.at - event.call.submitted_at
            self._num_finished += 1
            weight = 1 / self._num_finished  # 1 the first time, which drops the value given
            self._seconds_per_call += weight * (seconds - self._seconds_per_call)

    def rank(self, call: CallView, now: float) -> float:
        deadline = call.earliest_deadline_at
        return float("inf") if deadline is None else deadline - call.critical_path_calls * self._seconds_per_call
