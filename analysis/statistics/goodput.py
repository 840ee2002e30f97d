"""Goodput: applications done within their deadline, for each second in which applications arrive."""

from __future__ import annotations

import pandas as pd


def deadlines_met(jct: pd.Series, deadlines: pd.Series) -> pd.Series:
    """Whether each application with a deadline met it, bool, indexed by application.

    Parameters
    ----------
    jct : pandas.Series, seconds
        Of the applications that completed.
    deadlines : pandas.Series, seconds after the arrival
        Of all that count; one that did not complete missed it.
    """
    return jct.reindex(deadlines.index) <= deadlines


def goodput(met: pd.Series, span: float) -> float:
    """Applications within their deadline per second of `span`, the time in which these applications arrived."""
    return float(met.sum()) / span if len(met) and span > 0 else float("nan")
