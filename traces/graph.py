"""Shape of an application's dependency graph, by position of the call in the application."""

from __future__ import annotations

from dataclasses import dataclass

from traces.workload import Application


@dataclass(frozen=True, slots=True)
class Graph:
    """Depth, reach and path length of every call of one application.

    Parameters
    ----------
    parents, children : tuple of tuple of int
        Positions of the direct dependencies and dependants of each call.
    depth : tuple of int
        Longest chain of dependencies above each call; 0 for a root.
    num_descendants : tuple of int
        Calls that depend on each call, directly or not.
    critical_path_calls : tuple of int
        Calls on the longest chain from each call to a sink, itself included.
    order : tuple of int
        Positions such that every call comes after its dependencies.
    """

    parents: tuple[tuple[int, ...], ...]
    children: tuple[tuple[int, ...], ...]
    depth: tuple[int, ...]
    num_descendants: tuple[int, ...]
    critical_path_calls: tuple[int, ...]
    order: tuple[int, ...]


def graph_of(application: Application) -> Graph:
    """Graph of an application whose dependencies exist.

    Raises
    ------
    ValueError
        When the dependencies form a cycle; the message names a call on it.
    """
    position = {call.id: index for index, call in enumerate(application.calls)}
    parents = tuple(tuple(position[dep] for dep in dict.fromkeys(call.deps)) for call in application.calls)
    children: list[list[int]] = [[] for _ in parents]
    for index, deps in enumerate(parents):
        for dep in deps:
            children[dep].append(index)
    order = _topological(application, parents, children)
    depth = [0] * len(parents)
    for index in order:
        depth[index] = max((depth[dep] + 1 for dep in parents[index]), default=0)
    below: list[set[int]] = [set() for _ in parents]
    path = [1] * len(parents)
    for index in reversed(order):
        for child in children[index]:
            below[index] |= below[child] | {child}
            path[index] = max(path[index], path[child] + 1)
    return Graph(
        parents,
        tuple(map(tuple, children)),
        tuple(depth),
        tuple(map(len, below)),
        tuple(path),
        tuple(order),
    )


def _topological(
    application: Application, parents: tuple[tuple[int, ...], ...], children: list[list[int]]
) -> list[int]:
    missing = [len(deps) for deps in parents]
    order = [index for index, count in enumerate(missing) if not count]
    for index in order:  # grows while it is walked
        for child in children[index]:
            missing[child] -= 1
            if not missing[child]:
                order.append(child)
    if len(order) < len(parents):
        stuck = next(index for index, count in enumerate(missing) if count)
        raise ValueError(
            f"application {application.id!r}, call {application.calls[stuck].id!r}: deps form or depend on a cycle"
        )
    return order
