"""Integers that stand for a policy's ranks where an engine orders its queue by an integer priority.

A rank is anything that sorts (a tuple, a float); vLLM's priority is an integer that must fit msgpack's 64 bits. Each
new rank is put between its neighbours when it is first seen, so labels that are already at an engine stay true.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from policies.interface import PolicyError

_LIMIT = 2**63 - 1

#: A run's labels lie a gap's 65,536th apart once it is long: two million of them fit the whole range.
_LONGEST_COUNTED_RUN = 16


class OrderLabels:
    """Labels of one run's ranks: equal ranks get equal labels, and a lower rank a lower label.

    Notes
    -----
    A new label halves the gap between its neighbours, which suits ranks that come in any order: some sixty of the worst
    order fit. Ranks also come in runs, each between the last one and a neighbour that stays, as when a policy orders by
    stage and then by arrival. So the r-th of a run takes only 2^-r of the gap, beside the one before it.

    When a gap has no integer left, the rank shares the label of its lower neighbour: the engine then takes the two in
    order of arrival. `num_shared` counts such ranks.
    """

    def __init__(self) -> None:
        self._ranks: list[Any] = []
        self._labels: list[int] = []
        self._serials: list[int] = []  # when each rank was first seen
        self._runs: list[int] = []  # place of each rank in its run, negative where the run falls
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
        label, run = self._placed(index)
        self._serials.insert(index, len(self._ranks))
        self._ranks.insert(index, rank)
        self._labels.insert(index, label)
        self._runs.insert(index, run)
        return label

    def _placed(self, index: int) -> tuple[int, int]:
        """Label and place in its run of a rank that comes before the one now at `index`."""
        below, above = index - 1, index
        lower = self._labels[below] if index else -_LIMIT
        upper = self._labels[above] if index < len(self._labels) else _LIMIT
        gap = upper - lower
        if gap < 2:
            self.num_shared += 1
            return lower, 0
        lower_serial = self._serials[below] if index else -1
        upper_serial = self._serials[above] if index < len(self._labels) else -1
        if lower_serial > upper_serial:
            run = max(self._runs[below], 0) + 1
            return lower + _share(gap, run), run
        run = max(-self._runs[above], 0) + 1 if upper_serial >= 0 else 1
        return upper - _share(gap, run), -run


def _share(gap: int, run: int) -> int:
    """How far from its neighbour the label of a run's `run`-th rank lies."""
    return max(gap >> min(run, _LONGEST_COUNTED_RUN), 1)
