"""Integers that stand for a policy's ranks where an engine orders its queue by an integer priority.

A rank is anything that sorts (a tuple, a float); vLLM's priority is an integer that must fit msgpack's 64 bits. Each
new rank is put between its neighbours when it is first seen, so labels that are already at an engine stay true.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from policies.interface import PolicyError

_LIMIT = 2**63 - 1

#: Distance from the outermost label to a new one: room for 8 million new extremes on either side.
_OUTER_STEP = 2**40

#: Distance from a neighbour to a new label within a gap, where the gap is wide.
_INNER_STEP = 2**20


class OrderLabels:
    """Labels of one run's ranks: equal ranks get equal labels, and a lower rank a lower label.

    Notes
    -----
    Ranks often come in runs, each between the last one and a fixed neighbour, as when a policy orders by stage and then
    by arrival. A new label therefore stands a small step beside the newer of its two neighbours, so one gap between
    outer labels takes a million ranks that rise or fall, and about 20 more of the worst order. When a gap has no
    integer left, the rank shares the label of its lower neighbour: the engine then takes those two in order of arrival.
    `num_shared` counts such ranks.
    """

    def __init__(self) -> None:
        self._ranks: list[Any] = []
        self._labels: list[int] = []
        self._serials: list[int] = []  # when each rank was first seen
        self.num_shared = 0

    def label(self, rank: Any) -> int:
        """Label of a rank, a signed 64-bit integer.

        Raises
        ------
        PolicyError
            When the rank does not compare with those seen before.
        """
        try:
            index = bisect_left(self._ranks, rank)
            if index < len(self._ranks) and self._ranks[index] == rank:
                return self._labels[index]
        except TypeError as error:
            raise PolicyError(f"rank {rank!r} does not compare with the ranks of other calls: {error}") from None
        label = self._new_label(index)
        self._serials.insert(index, len(self._ranks))
        self._ranks.insert(index, rank)
        self._labels.insert(index, label)
        return label

    def _new_label(self, index: int) -> int:
        """A label for a rank that comes before the one now at `index`."""
        labels = self._labels
        if not labels:
            return 0
        if index == len(labels):
            label = min(labels[-1] + _OUTER_STEP, _LIMIT)
            self.num_shared += label == labels[-1]
        elif index == 0:
            label = max(labels[0] - _OUTER_STEP, -_LIMIT)
            self.num_shared += label == labels[0]
        else:
            label = self._between(index)
            self.num_shared += label == labels[index - 1]
        return label

    def _between(self, index: int) -> int:
        lower, upper = self._labels[index - 1], self._labels[index]
        step = min(_INNER_STEP, (upper - lower) // 2)
        if self._serials[index - 1] > self._serials[index]:
            return lower + step
        return max(upper - max(step, 1), lower)
