"""Shape of a dependency graph: by hand, and against walking every path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.graph import graph_of
from traces.workload import Application, Call, text


def application(*deps):
    """Calls 0, 1, ... with the dependencies given for each."""
    calls = [Call(str(n), (text("p", 1),), 1, deps=tuple(map(str, each))) for n, each in enumerate(deps)]
    return Application("app", 0.0, tuple(calls))


def test_a_diamond():
    graph = graph_of(application([], [0], [0], [1, 2]))
    assert graph.parents == ((), (0,), (0,), (1, 2))
    assert graph.children == ((1, 2), (3,), (3,), ())
    assert graph.depth == (0, 1, 1, 2)
    assert graph.num_descendants == (3, 1, 1, 0)
    assert graph.critical_path_calls == (3, 2, 2, 1)


def test_depth_and_critical_path_follow_the_longest_way_round():
    """0 -> 1 -> 2 -> 3 and the shortcut 0 -> 3."""
    graph = graph_of(application([], [0], [1], [2, 0]))
    assert graph.depth == (0, 1, 2, 3)
    assert graph.critical_path_calls == (4, 3, 2, 1)


def test_independent_calls_have_no_reach():
    graph = graph_of(application([], [], []))
    assert (graph.depth, graph.num_descendants, graph.critical_path_calls) == ((0, 0, 0), (0, 0, 0), (1, 1, 1))


def test_calls_may_stand_before_their_dependencies():
    graph = graph_of(application([1], [2], []))
    assert graph.order == (2, 1, 0)
    assert graph.depth == (2, 1, 0)


@pytest.mark.parametrize("deps", [([1], [0]), ([0],), ([], [2], [3], [1])])
def test_a_cycle_is_refused_with_a_call_that_is_stuck(deps):
    with pytest.raises(ValueError, match=r"application 'app', call '[013]': deps form or depend on a cycle"):
        graph_of(application(*deps))


@st.composite
def graphs(draw):
    """Up to nine calls, each after some of those before it, in shuffled positions."""
    size = draw(st.integers(1, 9))
    place = draw(st.permutations(range(size)))
    deps = [[] for _ in range(size)]
    for number in range(1, size):
        earlier = draw(st.lists(st.integers(0, number - 1), unique=True, max_size=3))
        deps[place[number]] = [place[each] for each in earlier]
    return deps


def chains(links, start):
    """Every path that begins at `start` and follows the links to their end."""
    return [[start, *rest] for each in links[start] for rest in chains(links, each)] or [[start]]


@given(graphs())
def test_every_figure_is_that_of_all_paths(deps):
    graph = graph_of(application(*deps))
    for number in range(len(deps)):
        below = chains(graph.children, number)
        assert graph.depth[number] == max(map(len, chains(deps, number))) - 1
        assert graph.critical_path_calls[number] == max(map(len, below))
        assert graph.num_descendants[number] == len({call for path in below for call in path}) - 1


@given(graphs())
def test_every_call_comes_after_its_dependencies_in_the_order(deps):
    order = graph_of(application(*deps)).order
    assert sorted(order) == list(range(len(deps)))
    assert all(order.index(dep) < order.index(number) for number, each in enumerate(deps) for dep in each)
