"""How far two runs of one workload under one policy took the same decisions.

Made for a simulated and a real run. Of two decision logs the longest common order is counted, not the places that hold
equal rows: when two calls end in another order on the real engines, everything after them moves by one place, and is
the same decision all the same.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd


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
    rows, others = _rows(first), _rows(second)
    place = {row: index for index, row in enumerate(others)}
    common = [place[row] for row in rows if row in place]
    return Agreement(
        num_decisions=max(len(rows), len(others)),
        num_same=_longest_rise(common),
        num_dispatches=max(_num_dispatches(first), _num_dispatches(second)),
        num_same_engine=sum(row[2] == "dispatch" for row in rows if row in place),
        first_difference=_first_difference(rows, others),
    )


_Row = tuple[str, str, str, int, int]  # application, call, outcome, engine, which dispatch or hold of the call it is


def _rows(decisions: pd.DataFrame) -> list[_Row]:
    number = decisions.groupby(["app", "call", "outcome"]).cumcount()
    columns = (decisions[name] for name in ("app", "call", "outcome", "engine"))
    return list(zip(*columns, number, strict=True))


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


def _first_difference(rows: list[_Row], others: list[_Row]) -> str:
    for index, (row, other) in enumerate(zip(rows, others, strict=False)):
        if row != other:
            return f"decision {index + 1}: {_shown(row)} against {_shown(other)}"
    if len(rows) != len(others):
        longer = rows if len(rows) > len(others) else others
        shorter = min(len(rows), len(others))
        return f"decision {shorter + 1}: {_shown(longer[shorter])} against none"
    return ""


def _shown(row: _Row) -> str:
    app, call, outcome, engine, _ = row
    return f"{app}/{call} held" if outcome == "hold" else f"{app}/{call} to engine {engine}"
