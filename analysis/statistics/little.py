"""Little's law as a check on every run: two tables that were recorded apart must tell the same number of calls.

By Little's law (Operations Research 9(3), 1961) the mean number of calls in the engines is their rate times their mean
residence; over a whole run that begins and ends empty it holds without any assumption. The residence is known from the
records of calls alone, the number from those of steps alone, as far as steps know it: a resident call may miss a step,
but no call is in a step while it is not resident.
"""

from __future__ import annotations

import pandas as pd

from analysis.metrics import completed

#: Steps by which a call's residence may outlast those it is in: it is scheduled up to one before, under asynchronous
#: scheduling, and known to be finished up to one after.
SLACK_STEPS = 2

#: Relative, for sums of floating-point numbers.
_ROUNDING = 1e-6


def little_gap(calls: pd.DataFrame, steps: pd.DataFrame) -> float:
    """Relative excess of the residence of calls over their time in steps; NaN where a call did not finish.

    Parameters
    ----------
    calls, steps : pandas.DataFrame
        Columns `traces.records.CALL_COLUMNS` and `STEP_COLUMNS`.

    Raises
    ------
    ValueError
        When the two contradict each other.
    """
    done = completed(calls)
    if len(done) < len(calls) or steps.empty:
        return float("nan")
    residence = float((done["finished_at"] - done["scheduled_at"]).sum())
    seconds = _apart(steps)
    in_steps = steps["num_decodes"] + steps["num_prefills"]
    least = float((in_steps * seconds).sum())
    most = float((steps["num_running"].clip(lower=in_steps) * seconds).sum()) + _slack(steps) * len(calls)
    # A preempted call waits in no step, but it has not left the engine.
    may_exceed = bool((calls["num_preemptions"] != 0).any())
    if residence < least * (1 - _ROUNDING) or (residence > most * (1 + _ROUNDING) and not may_exceed):
        raise ValueError(
            f"Little's law is broken: calls were in the engines for {residence:.3f} s together, and by the steps for "
            f"{least:.3f} to {most:.3f} s"
        )
    return residence / least - 1 if least else float("nan")


def _apart(steps: pd.DataFrame) -> pd.Series:
    """Seconds of each step until the next one of its engine began: asynchronous scheduling lets them overlap."""
    ordered = steps.sort_values(["engine", "started_at", "step"], kind="stable")
    following = ordered.groupby("engine")["started_at"].shift(-1)
    until = ordered["finished_at"].where(following.isna() | (ordered["finished_at"] < following), following)
    return until - ordered["started_at"]  # indexed as `steps`


def _slack(steps: pd.DataFrame) -> float:
    """`SLACK_STEPS` steps of the length that is found at a random instant, seconds."""
    durations = steps["finished_at"] - steps["started_at"]
    busy = float(durations.sum())
    return SLACK_STEPS * float((durations**2 / steps["count"]).sum()) / busy if busy else 0.0
