"""How far two runs of one workload under one policy took the same decisions.

Made for a simulated and a real run. Of two decision logs the longest common order is counted, not the places that hold
equal rows: when two calls end in another order on the real engines, everything after them moves by one place, and is
the same decision all the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

#: What a decision is, its instant aside.
_DECISION = ("app", "call", "outcome", "engine")


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two decision logs compare.

    Parameters
    ----------
    num_decisions : int
        Rows of the longer log.
    num_same : int
        Most rows that both logs have in the same order with the same engine and outcome.
    num_dispatches : int
        Dispatches of the longer log.
    num_same_engine : int
        Dispatches that went to the same engine in both, whatever their order.
    first_difference : str
        Place and rows at which the logs part; empty when they are equal.
    """

    num_decisions: int
    num_same: int
    num_dispatches: int
    num_same_engine: int
    first_difference: str

    @property
    def share(self) -> float:
        """Share of decisions that are the same in the same order; 1 for two empty logs."""
        return self.num_same / self.num_decisions if self.num_decisions else 1.0


def agreement(first: pd.DataFrame, second: pd.DataFrame) -> Agreement:
    """Compare two decision logs.

    Parameters
    ----------
    first, second : pandas.DataFrame
        Columns `traces.records.DECISION_COLUMNS`. A call that was dispatched again has its n-th dispatch compared with
        the n-th of the other log.
    """
    rows, others = _numbered(first, second)
    place = np.full(max(rows.max(initial=-1), others.max(initial=-1)) + 1, -1)
    place[others] = np.arange(len(others))
    is_common = place[rows] >= 0
    position = first_difference(first, second)
    return Agreement(
        num_decisions=max(len(rows), len(others)),
        num_same=_longest_rise(place[rows[is_common]].tolist()),
        num_dispatches=max(_num_dispatches(first), _num_dispatches(second)),
        num_same_engine=int((first["outcome"].to_numpy()[is_common] == "dispatch").sum()),
        first_difference="" if position is None else _described(first, second, position),
    )


def first_difference(first: pd.DataFrame, second: pd.DataFrame) -> int | None:
    """Row, from 0, at which two decision logs part; the length of the shorter where it opens the longer; None if equal.

    Parameters
    ----------
    first, second : pandas.DataFrame
        Columns `traces.records.DECISION_COLUMNS`.
    """
    shortest = min(len(first), len(second))
    differs = np.zeros(shortest, dtype=bool)
    for column in _DECISION:
        differs |= first[column].to_numpy()[:shortest] != second[column].to_numpy()[:shortest]
    if differs.any():
        return int(differs.argmax())
    return None if len(first) == len(second) else shortest


def _numbered(first: pd.DataFrame, second: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """One integer a decision, equal in both logs for equal decisions; the n-th of equal ones in a log has its own."""
    both = pd.concat([log[list(_DECISION)].assign(log=index) for index, log in enumerate((first, second))])
    turn = both.groupby([*_DECISION[:3], "log"], sort=False).cumcount()
    numbers = both.assign(turn=turn).groupby([*_DECISION, "turn"], sort=False).ngroup().to_numpy()
    return numbers[: len(first)], numbers[len(first) :]


def _num_dispatches(decisions: pd.DataFrame) -> int:
    return int((decisions["outcome"] == "dispatch").sum())


def _longest_rise(values: Iterable[int]) -> int:
    """Length of the longest increasing subsequence of distinct values.

    References
    ----------
    M. L. Fredman, On computing the length of longest increasing subsequences, Discrete Mathematics 11, 1975.
    """
    smallest_end: list[int] = []  # of the rises of each length
    for value in values:
        length = bisect_left(smallest_end, value)
        smallest_end[length : length + 1] = [value]
    return len(smallest_end)


def _described(first: pd.DataFrame, second: pd.DataFrame, position: int) -> str:
    """The decisions of both logs at the row at which they part."""
    shown = [_shown(log.iloc[position]) if position < len(log) else "none" for log in (first, second)]
    if shown[0] == "none":  # the longer log's decision first
        shown.reverse()
    return f"decision {position + 1}: {shown[0]} against {shown[1]}"


def _shown(row: pd.Series) -> str:
    call = f"{row['app']}/{row['call']}"
    return f"{call} held" if row["outcome"] == "hold" else f"{call} to engine {row['engine']}"
