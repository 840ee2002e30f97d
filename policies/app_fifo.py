"""First in, first out by application: what arrived first is finished first."""

from __future__ import annotations

from policies.interface import CallView, Policy


class AppFifo(Policy):
    """Calls of the oldest application first, whatever call became ready first.

    Notes
    -----
    Keeps an application that is half done from queueing behind newcomers at every stage, as Parrot's service does
    (Lin et al., OSDI 2024, section 5). A long application delays all younger ones.
    """

    def rank(self, call: CallView, now: float) -> tuple[float, str]:
        return call.app_arrived_at, call.app_id
