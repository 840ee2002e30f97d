"""Everything there is to say about a simulated and a measured run of one workload."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparison.decisions import Divergence, divergence
from analysis.comparison.errors import error_table, makespans
from analysis.comparison.manifests import differences, second_label
from analysis.comparison.matching import Matched, match_calls
from analysis.comparison.recost import Recosted, recost
from analysis.comparison.split import error_split, split_summary
from traces.records import RunRecords


@dataclass(frozen=True, slots=True)
class Comparison:
    """A simulated and a measured run, compared.

    Parameters
    ----------
    matched : Matched
        The pairs of calls.
    errors : pandas.DataFrame
        Of `analysis.comparison.errors.error_table`.
    makespan : dict
        `simulated` and `measured` in seconds, and the relative `error`.
    split : pandas.DataFrame
        Of `analysis.comparison.split.error_split`, one row an application, nanoseconds.
    divergence : Divergence
        Of decisions.
    recosted : Recosted or None
        Engine time by schedule and cost; None where a run recorded no steps.
    measured_label : str
        What the second run is: "measured", "virtual device" or "second simulation". The fields and keys named after a
        measured run hold its figures in any case; what is shown bears this label.
    remarks : list of str
        What a reader must know before trusting a figure.
    """

    matched: Matched
    errors: pd.DataFrame
    makespan: dict[str, float]
    split: pd.DataFrame
    divergence: Divergence
    recosted: Recosted | None
    measured_label: str
    remarks: list[str]

    def to_dict(self) -> dict[str, Any]:
        """JSON form; undefined values are None. Applications' splits are in nanoseconds, everything else in seconds."""
        return {
            "calls": self.matched.counts(),
            "makespan": self.makespan,
            "errors": json_rows(self.errors),
            "error_split": json_rows(split_summary(self.split)),
            "applications": json_rows(self.split),
            "decisions": self.divergence.to_dict(),
            "recosted": asdict(self.recosted) if self.recosted else None,
            "measured_label": self.measured_label,
            "remarks": self.remarks,
        }


def compare_runs(simulated: RunRecords, measured: RunRecords, *, seed: int = 0) -> Comparison:
    """Compare a simulated with a measured run of the same workload.

    Parameters
    ----------
    simulated, measured : RunRecords
        The roles are the order of the arguments; the remarks say so when a manifest speaks against it.
    seed : int
        Of the resampling behind the confidence intervals.

    Raises
    ------
    ValueError
        When the runs have no finished call in common, or a record is not whole.
    """
    matched = match_calls(simulated.calls, measured.calls)
    split = error_split(matched)
    label = second_label(measured.manifest)
    return Comparison(
        matched=matched,
        errors=error_table(matched, split, np.random.default_rng(seed)),
        makespan=makespans(matched),
        split=split,
        divergence=divergence((simulated.decisions, measured.decisions), (simulated.calls, measured.calls)),
        recosted=recost(simulated.steps, measured.steps),
        measured_label=label,
        remarks=[*differences(simulated.manifest, measured.manifest), *matched.remarks(label)],
    )


def json_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON objects of plain values; NaN, which JSON does not have, becomes None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): _plain(value) for name, value in row.items()} for row in plain.to_dict("records")]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
