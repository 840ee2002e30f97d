"""The order of one policy with the routing of another."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from policies.interface import HOLD, CallView, EngineId, EngineView, Event, Policy


class Composed(Policy):
    """Ready calls in the order of one policy, sent where another says.

    Parameters
    ----------
    order : Policy
        Its `rank` decides; so does its admission: an engine that `order.route` would not take even if it were the
        only one is not offered to `routing`. That keeps the bounds of `stage-priority`.
    routing : Policy
        Its `route` chooses among the engines that are left.
    """

    def __init__(self, order: Policy, routing: Policy) -> None:
        self._order = order
        self._routing = routing
        self._admits_all = type(order).route is Policy.route
        self.reranks = order.reranks
        self.uses_oracle = order.uses_oracle or routing.uses_oracle

    def rank(self, call: CallView, now: float) -> Any:
        return self._order.rank(call, now)

    def hold_class(self, call: CallView) -> Hashable | None:
        by_order, by_routing = self._order.hold_class(call), self._routing.hold_class(call)
        return None if by_order is None or by_routing is None else (by_order, by_routing)

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        if not self._admits_all:
            engines = [engine for engine in engines if self._order.route(call, [engine], now) is not HOLD]
        return self._routing.route(call, engines, now) if engines else HOLD


class ComposedObserving(Composed):
    """`Composed`, of policies that learn: both observe everything."""

    def observe(self, event: Event) -> None:
        self._order.observe(event)
        self._routing.observe(event)


def compose(order: Policy, routing: Policy) -> Policy:
    """Order of one policy, routing of another.

    Notes
    -----
    Two classes, because a coordinator reports first tokens only to a policy class that overrides `observe`.
    """
    observes = any(type(policy).observe is not Policy.observe for policy in (order, routing))
    return (ComposedObserving if observes else Composed)(order, routing)
