"""Gang admission: siblings start together or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from policies.interface import HOLD, CallView, EngineId, EngineView, Event, EventKind, Policy, least_loaded

Group = tuple[str, str]


class Gang(Policy):
    """A group of siblings goes out when the windows have room for all of it; oldest applications first.

    Parameters
    ----------
    backfill : bool
        Let later calls that fit pass a group that does not; keeps engines busy, but a large group may starve.

    Notes
    -----
    Gang scheduling (Feitelson and Rudolph, Journal of Parallel and Distributed Computing 16(4), 1992) for groups as
    Parrot finds them (Lin et al., OSDI 2024, section 5.2): the calls whose outputs one call waits for
    (`CallView.group`), as many of them as wait at the same time. A group that is larger than all windows goes out when
    these are empty, as far as they hold it. Siblings start together but run at the pace of their engines.
    Left out: time slicing; nothing that runs is put aside for a gang. Without a window every group fits.
    """

    def __init__(self, backfill: bool = False) -> None:
        self._backfill = backfill
        self._num_waiting: Counter[Group] = Counter()
        self._num_admitted: Counter[Group] = Counter()  # of those that wait

    def observe(self, event: Event) -> None:
        if event.call is None:
            return
        if event.kind in (EventKind.CALL_SUBMITTED, EventKind.CALL_RETURNED):
            self._num_waiting[_group_of(event.call)] += 1
        elif event.kind is EventKind.CALL_DISPATCHED:
            group = _group_of(event.call)
            for count in (self._num_waiting, self._num_admitted):
                count[group] -= 1
                if count[group] <= 0:
                    del count[group]

    def rank(self, call: CallView, now: float) -> tuple[float, str]:
        return call.app_arrived_at, call.app_id

    def hold_class(self, call: CallView) -> Hashable:
        # With one class for all, whatever comes after a group that is held waits behind it.
        return _group_of(call) if self._backfill else "all"

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        group = _group_of(call)
        if group not in self._num_admitted:
            num_together = self._num_waiting[group]
            if all(engine.window for engine in engines):
                room = sum(engine.window for engine in engines)
                num_together = min(num_together, room)
                if room - sum(engine.num_unfinished for engine in engines) < num_together:
                    return HOLD
            self._num_admitted[group] = num_together
        return least_loaded(engines)


def _group_of(call: CallView) -> Group:
    return call.app_id, call.group[0]
