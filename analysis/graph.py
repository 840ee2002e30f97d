"""Levels and longest chains of an application's dependency graph."""

from __future__ import annotations

from collections.abc import Callable

from traces.graph import graph_of
from traces.workload import Application, Call


def levels(application: Application) -> list[list[Call]]:
    """Calls by depth, in file order: level 0 depends on nothing, level k on a call of level k - 1 and none deeper."""
    depth = graph_of(application).depth
    grouped: list[list[Call]] = [[] for _ in range(max(depth) + 1)]
    for call, level in zip(application.calls, depth, strict=True):
        grouped[level].append(call)
    return grouped


def longest_chain(application: Application, seconds: Callable[[Call], float]) -> float:
    """Largest sum of `seconds` over the calls of one chain of dependencies."""
    graph = graph_of(application)
    finish = [0.0] * len(application.calls)
    for index in graph.order:
        begin = max((finish[parent] for parent in graph.parents[index]), default=0.0)
        finish[index] = begin + seconds(application.calls[index])
    return max(finish)
