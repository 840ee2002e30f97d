"""What the completion time of each application went to, along its critical path.

The critical path of an application runs backwards from its last finish: from a call to the parent whose finish made it
ready, and so on to the arrival. Its parts are differences of consecutive instants on that path, so they add up to the
JCT. They are whole nanoseconds, and so add up exactly.

Records name no dependencies. A call's parent is taken to be the call of the same application that had finished last
when the call became ready: exact in simulations, where a dependant becomes ready at the instant of the finish. Whatever
lies between the two instants counts as "client".
"""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Parts of a JCT in the order in which a call passes through them: label, instant at the end of the part.
#: "client": think time, network, and the client's own work. "prefill" and "decode" hold the waits after a preemption.
PARTS = (
    ("client", "submitted_at"),
    ("hold", "dispatched_at"),
    ("queue", "scheduled_at"),
    ("prefill", "first_token_at"),
    ("decode", "finished_at"),
)

PART_NAMES = tuple(name for name, _ in PARTS)


def nanoseconds(instants: pd.Series) -> np.ndarray:
    """Instants as whole nanoseconds, (num_rows,) int64; of all instants of a call none may be undefined."""
    rounded: np.ndarray = np.rint(instants.to_numpy(float) * 1e9).astype(np.int64)
    return rounded


def parents(apps: np.ndarray, ready: np.ndarray, finished: np.ndarray) -> np.ndarray:
    """Row of each call's parent on the way back to the arrival; -1 for a call that waited for no other.

    Parameters
    ----------
    apps, ready, finished : numpy.ndarray
        (num_calls,) int: application, and instants in nanoseconds.

    Notes
    -----
    One sort of all finishes and ready instants of an application together: the parent is the last finish before the
    ready instant, itself included when they are equal. Of calls that finished at once, the one that became ready last
    (then the later row) is taken. A parent finished before its child did, or no chain would end.
    """
    num_calls = len(apps)
    times = np.concatenate([finished, ready])
    is_ready = np.repeat([0, 1], num_calls)
    order = np.lexsort((np.tile(ready, 2), is_ready, times, np.tile(apps, 2)))
    is_finish = order < num_calls
    place = np.where(is_finish, np.arange(2 * num_calls), -1)
    last_finish = np.maximum.accumulate(place)
    found = np.full(num_calls, -1)
    asking = np.flatnonzero(~is_finish)
    child = order[asking] - num_calls
    parent = np.where(last_finish[asking] >= 0, order[last_finish[asking]], -1)
    is_own = (parent >= 0) & (apps[parent] == apps[child]) & (finished[parent] < finished[child])
    found[child[is_own]] = parent[is_own]
    return found


def jct_parts(calls: pd.DataFrame) -> pd.DataFrame:
    """Parts of the JCT of every application.

    Parameters
    ----------
    calls : pandas.DataFrame
        Calls that finished, columns `traces.records.CALL_COLUMNS` and `app_code`, integers from 0. No instant may be
        undefined.

    Returns
    -------
    pandas.DataFrame
        Index `app_code`; `jct` and one column a part (`PART_NAMES`), int64 nanoseconds, which add up to it exactly;
        `num_calls` on the critical path; `path`, a number that is the same for the same set of rows on the path.
    """
    apps = calls["app_code"].to_numpy()
    times = {column: nanoseconds(calls[column]) for _, column in PARTS}
    ready, finished = nanoseconds(calls["ready_at"]), times["finished_at"]
    parent = parents(apps, ready, finished)
    begin = np.where(parent >= 0, finished[parent], nanoseconds(calls["app_arrived_at"]))
    edges = [begin, *times.values()]
    # Sums of these may overflow and wrap around, which does a fingerprint no harm.
    labels = np.random.default_rng(0).integers(0, 2**62, len(calls), dtype=np.int64)
    own = np.column_stack([*np.diff(np.stack(edges), axis=0), np.ones(len(calls), np.int64), labels])
    last = _last_calls(apps, finished)
    summed = _sum_to_root(own, parent)[last]
    frame = pd.DataFrame(
        summed, columns=[*PART_NAMES, "num_calls", "path"], index=pd.Index(apps[last], name="app_code")
    )
    jct = finished[last] - nanoseconds(calls["app_arrived_at"])[last]
    frame.insert(0, "jct", jct)
    return frame


def _last_calls(apps: np.ndarray, finished: np.ndarray) -> np.ndarray:
    """Row of the call that finished last, for each application in order of its code."""
    order = np.lexsort((finished, apps))
    is_last = np.diff(apps[order], append=-1) != 0
    rows: np.ndarray = order[is_last]
    return rows


def _sum_to_root(values: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """Sum of the rows from each row up to its root, (num_rows, num_columns).

    Pointer doubling: after round k every row holds the sum over 2^k ancestors, so a chain of a million calls takes
    twenty rounds.
    """
    total, up = values.copy(), parent.copy()
    while (rows := np.flatnonzero(up >= 0)).size:
        total[rows] += total[up[rows]]  # the right side is gathered before anything is added
        up[rows] = up[up[rows]]
    return total
