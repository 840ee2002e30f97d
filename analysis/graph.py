"""Shape of an application's dependency graph: depths, levels, longest chains."""

from __future__ import annotations

from collections.abc import Callable
from graphlib import TopologicalSorter

from traces.workload import Application, Call


def in_dependency_order(application: Application) -> list[Call]:
    """Calls with every call after all it depends on."""
    by_id = {call.id: call for call in application.calls}
    order = TopologicalSorter({call.id: call.deps for call in application.calls}).static_order()
    return [by_id[call_id] for call_id in order]


def levels(application: Application) -> list[list[Call]]:
    """Calls by depth: level 0 depends on nothing, level k on at least one call of level k - 1 and none deeper."""
    depth: dict[str, int] = {}
    for call in in_dependency_order(application):
        depth[call.id] = max((depth[parent] + 1 for parent in call.deps), default=0)
    grouped: list[list[Call]] = [[] for _ in range(max(depth.values()) + 1)]
    for call in application.calls:  # file order inside a level
        grouped[depth[call.id]].append(call)
    return grouped


def longest_chain(application: Application, seconds: Callable[[Call], float]) -> float:
    """Largest sum of `seconds` over the calls of one chain of dependencies."""
    finish: dict[str, float] = {}
    for call in in_dependency_order(application):
        finish[call.id] = seconds(call) + max((finish[parent] for parent in call.deps), default=0.0)
    return max(finish.values())
