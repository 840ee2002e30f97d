"""The error of every JCT, split along the critical paths of both runs into parts that add up to it exactly.

Each run has its own critical path (`analysis.comparison.critical_path`); the error of a part is its simulated minus its
measured nanoseconds. Where the two paths visit different calls, a part can shift to another without any step being
slower; `same_path` tells these applications apart.
"""

from __future__ import annotations

import pandas as pd

from analysis.comparison.critical_path import PART_NAMES, PARTS, jct_parts
from analysis.comparison.matching import Matched

#: Columns of the split, int64 nanoseconds, after `app`.
SPLIT_COLUMNS = ("jct_simulated", "jct_measured", "error", *PART_NAMES)


def error_split(matched: Matched) -> pd.DataFrame:
    """Error of each application's JCT and its parts.

    Parameters
    ----------
    matched : Matched

    Returns
    -------
    pandas.DataFrame
        One row an application all of whose calls finished in both runs: `app`, `SPLIT_COLUMNS` in nanoseconds with
        `error` = the sum of the parts, `same_path`, and `num_calls_simulated` and `num_calls_measured` on the paths.

    Notes
    -----
    Where an engine does not say when a call was first scheduled, `queue` counts as prefill in both runs.
    """
    whole = ~matched.simulated["app"].isin(matched.unmatched["app"].unique()).to_numpy()
    pair = [frame[whole] for frame in (matched.simulated, matched.measured)]
    if any(frame["scheduled_at"].isna().any() for frame in pair):
        pair = [frame.assign(scheduled_at=frame["dispatched_at"]) for frame in pair]
    for frame in pair:
        _require_instants(frame)
    simulated, measured = (jct_parts(frame) for frame in pair)
    names = pair[0].drop_duplicates("app_code").set_index("app_code")["app"]
    difference = simulated[list(PART_NAMES)] - measured[list(PART_NAMES)]
    frame = pd.DataFrame(
        {
            "app": names.reindex(simulated.index),
            "jct_simulated": simulated["jct"],
            "jct_measured": measured["jct"],
            "error": simulated["jct"] - measured["jct"],
            **{name: difference[name] for name in PART_NAMES},
            "same_path": simulated["path"] == measured["path"],
            "num_calls_simulated": simulated["num_calls"],
            "num_calls_measured": measured["num_calls"],
        }
    )
    return frame.reset_index(drop=True)


def split_summary(split: pd.DataFrame) -> pd.DataFrame:
    """Mean of each part over the applications: `part`, `error` in seconds, `share` of the mean measured JCT.

    The rows of the parts add up to the row "JCT".
    """
    means = split[[*PART_NAMES, "error"]].mean() / 1e9
    measured = float(split["jct_measured"].mean()) / 1e9
    rows = [(name, float(means[name]), float(means[name]) / measured) for name in PART_NAMES]
    rows.append(("JCT", float(means["error"]), float(means["error"]) / measured))
    return pd.DataFrame(rows, columns=["part", "error", "share"])


def _require_instants(calls: pd.DataFrame) -> None:
    for column in ("app_arrived_at", "ready_at", *(column for _, column in PARTS)):
        undefined = calls[column].isna()
        if undefined.any():
            row = calls[undefined].iloc[0]
            raise ValueError(f"call {row['app']}/{row['call']}: {column} is undefined, though its status is ok")
