"""Where two runs of one policy decided differently, and what lay before the policy at the first such decision.

This is kept apart from errors of cost: a wrong step time delays the same decisions; a different decision can follow
from a delay, or from a policy that saw something else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from analysis.agreement import Agreement, agreement, first_difference


@dataclass(frozen=True, slots=True)
class Situation:
    """A decision and what records tell of its inputs.

    Parameters
    ----------
    at : float, seconds
    app, call, outcome : str
    engine : int
        -1 for a hold.
    num_ready : int
        Calls that were submitted before and not yet dispatched, this one included.
    engines : list of dict
        Of `engines_at`.
    """

    at: float
    app: str
    call: str
    outcome: str
    engine: int
    num_ready: int
    engines: list[dict[str, int]]


@dataclass(frozen=True, slots=True)
class Divergence:
    """How the decisions of two runs differ.

    Parameters
    ----------
    agreement : Agreement
    position : int or None
        Place of the first difference in the sequences of decisions, from 0; None when there is none.
    simulated, measured : Situation or None
        Each run's decision at that place; None past the end of a run, or when there is no difference.
    """

    agreement: Agreement
    position: int | None
    simulated: Situation | None
    measured: Situation | None

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"share": self.agreement.share, **asdict(self)}


def divergence(decisions: tuple[pd.DataFrame, pd.DataFrame], calls: tuple[pd.DataFrame, pd.DataFrame]) -> Divergence:
    """Compare the decisions of a simulated and a measured run.

    Parameters
    ----------
    decisions : two pandas.DataFrame
        Columns `traces.records.DECISION_COLUMNS`.
    calls : two pandas.DataFrame
        Columns `traces.records.CALL_COLUMNS`, for the inputs of the first difference.
    """
    position = first_difference(*decisions)
    if position is None:
        return Divergence(agreement(*decisions), None, None, None)
    simulated, measured = (_situation(log, frame, position) for log, frame in zip(decisions, calls, strict=True))
    return Divergence(agreement(*decisions), position, simulated, measured)


def engines_at(calls: pd.DataFrame, at: float) -> list[dict[str, int]]:
    """Load of each engine just before an instant, as the records tell it.

    Parameters
    ----------
    calls : pandas.DataFrame
        Columns `traces.records.CALL_COLUMNS`.
    at : float, seconds

    Returns
    -------
    list of dict
        `engine`, `num_calls` and `num_tokens` (prompt and output) dispatched to it before and not finished. Calls that
        were dispatched at the very instant are left out: records do not tell which of them came first.
    """
    there = calls[(calls["dispatched_at"] < at) & ~(calls["finished_at"] <= at)]
    tokens = (there["num_prompt_tokens"] + there["num_output_tokens"]).groupby(there["engine"])
    num_calls, num_tokens = tokens.size(), tokens.sum()
    return [
        {
            "engine": int(engine),
            "num_calls": int(num_calls.get(engine, 0)),
            "num_tokens": int(num_tokens.get(engine, 0)),
        }
        for engine in sorted(set(calls["engine"]) - {-1})
    ]


def _situation(decisions: pd.DataFrame, calls: pd.DataFrame, position: int) -> Situation | None:
    if position >= len(decisions):
        return None
    row = decisions.iloc[position]
    at = float(row["at"])
    ready = (calls["submitted_at"] <= at) & ~(calls["dispatched_at"] < at)
    return Situation(
        at=at,
        app=str(row["app"]),
        call=str(row["call"]),
        outcome=str(row["outcome"]),
        engine=int(row["engine"]),
        num_ready=int(ready.sum()),
        engines=engines_at(calls, at),
    )
