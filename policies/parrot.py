"""Application-centric scheduling: what an application wants of a call follows from where its output goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from policies.clients import client_of
from policies.interface import HOLD, CallView, EngineId, EngineView, Event, EventKind, Policy


@dataclass(slots=True)
class _Group:
    """Where a group went and how much of it is left."""

    num_unended: int
    num_waiting: int = 0
    engine_id: EngineId | None = None


class Parrot(Policy):
    """Calls by application and depth; groups for throughput on one engine, single calls for latency, near their prompt.

    Parameters
    ----------
    latency_bound : int
        Most calls at an engine while one of them is wanted soon.
    throughput_bound : int
        Most calls at any engine.
    bulk : sequence of str
        Clients (`policies.clients.client_of`) whose results are wanted for throughput, with everything before them.

    Raises
    ------
    ValueError
        When a bound is not positive, or that for latency is above that for throughput.

    Notes
    -----
    Parrot (Lin et al., OSDI 2024, section 5: objective deduction, shared prompts, and algorithm 1). The objective of a
    call is deduced backwards through the graph: results are wanted soon unless their client is named in `bulk`; calls
    whose outputs one call waits for (`CallView.group`) matter only together, so they are wanted for throughput, too.

    Placement, in this order: with the rest of its group; otherwise, if the whole group fits somewhere, only there;
    where the prompt's beginning is believed cached; where it does least harm to the bound that holds there; where the
    fewest prompt tokens are unfinished. A call that fits nowhere is held, and all later ones behind it: overtaken by
    calls for throughput, a call for latency would never find an engine that is empty enough.

    Left out: bounds count calls where the paper's count tokens; prompts are matched against what was sent before, not
    against the queue; the kernels for shared prompts are the engine's business. Bounds apply beside `--window`.
    """

    def __init__(self, latency_bound: int = 16, throughput_bound: int = 64, bulk: Sequence[str] = ()) -> None:
        if not 0 < latency_bound <= throughput_bound:
            raise ValueError(
                f"latency_bound={latency_bound} must be positive and at most throughput_bound={throughput_bound}"
            )
        self._bounds = {True: latency_bound, False: throughput_bound}
        self._bulk = frozenset(bulk)
        self._num_urgent: Counter[EngineId] = Counter()  # unfinished calls for latency
        self._groups: dict[tuple[str, str], _Group] = {}

    def observe(self, event: Event) -> None:
        call = event.call
        if event.kind is EventKind.ENGINE_LOST and event.engine_id is not None:
            del self._num_urgent[event.engine_id]
        elif call is not None and self._is_urgent(call):
            self._count_urgent(event)
        elif call is not None and len(call.group) > 1:
            self._count_group(event, call)

    def rank(self, call: CallView, now: float) -> tuple[float, str, int]:
        return call.app_arrived_at, call.app_id, call.depth

    def hold_class(self, call: CallView) -> str:
        return "all"

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        candidates = [engine for engine in engines if engine.is_open and self._room(call, engine) > 0]
        if not candidates:
            return HOLD
        group = self._groups.get(_key(call))
        if group is not None:
            if any(engine.engine_id == group.engine_id for engine in candidates):
                return group.engine_id
            candidates = [e for e in candidates if self._room(call, e) >= group.num_waiting] or candidates
        return min(candidates, key=lambda engine: self._cost(call, engine)).engine_id

    def _is_urgent(self, call: CallView) -> bool:
        return len(call.group) == 1 and client_of(call.app_id) not in self._bulk

    def _room(self, call: CallView, engine: EngineView) -> int:
        """Calls like this one that the bounds leave room for."""
        urgent = self._is_urgent(call) or self._num_urgent[engine.engine_id] > 0
        return self._bounds[urgent] - engine.num_unfinished

    def _cost(self, call: CallView, engine: EngineView) -> tuple[int, bool, int, EngineId]:
        # Whole blocks: what is shared of a block only in part is computed again.
        num_cached_blocks = engine.num_believed_cached_tokens(call) // engine.block_size
        is_for_latency = self._num_urgent[engine.engine_id] > 0
        does_harm = engine.num_unfinished > 0 and is_for_latency != self._is_urgent(call)
        return -num_cached_blocks, does_harm, engine.num_unfinished_tokens, engine.engine_id

    def _count_urgent(self, event: Event) -> None:
        if event.engine_id is None:
            return
        if event.kind is EventKind.CALL_DISPATCHED:
            self._num_urgent[event.engine_id] += 1
        elif event.kind in (EventKind.CALL_FINISHED, EventKind.CALL_FAILED):
            self._num_urgent[event.engine_id] -= 1

    def _count_group(self, event: Event, call: CallView) -> None:
        group = self._groups.setdefault(_key(call), _Group(len(call.group)))
        if event.kind in (EventKind.CALL_SUBMITTED, EventKind.CALL_RETURNED):
            group.num_waiting += 1
        elif event.kind is EventKind.CALL_DISPATCHED:
            group.num_waiting -= 1
            group.engine_id = event.engine_id if group.engine_id is None else group.engine_id
        elif event.kind in (EventKind.CALL_FINISHED, EventKind.CALL_FAILED):
            group.num_unended -= 1
            if group.num_unended == 0:
                del self._groups[_key(call)]


def _key(call: CallView) -> tuple[str, str]:
    return call.app_id, call.group[0]
