"""A comparison as tables for a terminal or a page: frames with the columns that are shown, and their units."""

from __future__ import annotations

import numpy as np
import pandas as pd
from rich.table import Table

from analysis.comparison.compare import Comparison
from analysis.comparison.decisions import Situation
from analysis.comparison.recost import Recosted
from analysis.comparison.split import split_summary
from analysis.tables import COUNT, MILLISECONDS, PERCENT, Unit, table, wrapping
from traces.wording import counted

#: An error: its sign is always shown.
ERROR = Unit("%", 1e2, 2, signed=True)

#: What the tables' errors are.
_ERROR_NOTE = (
    "Error = simulated / {second} - 1, with its 95% interval over resampled applications, or calls where fewer "
    "than ten applications ran (one run each; repeats are needed for more). Absolute = mean over single calls or "
    "applications of the absolute error."
)

#: Engines whose load is named beside a decision.
_MAX_ENGINES = 8

#: Parts of a JCT in the words of tables and pictures.
PART_LABELS = {
    "client": "client, network",
    "hold": "hold",
    "queue": "engine queue",
    "prefill": "prefill",
    "decode": "decode",
    "JCT": "JCT",
}

LATENCY_UNITS = {
    "num": COUNT,
    "simulated": MILLISECONDS,
    "measured": MILLISECONDS,
    "mean": ERROR,
    **dict.fromkeys(("p50", "p90", "p95", "p99"), ERROR),
    "absolute": PERCENT,
}

SPLIT_UNITS = {"error": Unit("s", 1.0, 3, signed=True), "share": Unit("% of JCT", 1e2, 2, signed=True)}

RECOST_UNITS = dict.fromkeys(("schedule", "cost", "difference"), SPLIT_UNITS["error"])


def latency_errors(errors: pd.DataFrame) -> pd.DataFrame:
    """One row a stage and metric: sample size, both means, errors of the mean (with interval) and of percentiles.

    Parameters
    ----------
    errors : pandas.DataFrame
        Of `analysis.comparison.errors.error_table`.
    """
    if errors.empty:
        return pd.DataFrame(columns=["stage", "metric", *LATENCY_UNITS])
    wide = errors.pivot_table(index=["stage", "metric"], columns="statistic", values="error", sort=False, dropna=False)
    means = errors[errors["statistic"] == "mean"].set_index(["stage", "metric"])
    interval = [_interval(low, high) for low, high in zip(means["low"], means["high"], strict=True)]
    frame = means[["num", "simulated", "measured"]].assign(mean=wide["mean"])
    frame["95% interval"] = interval
    for name in ("p50", "p90", "p95", "p99"):
        frame[name] = wide[name]
    frame = frame.assign(absolute=means["absolute"]).reset_index()
    return frame.assign(metric=frame["metric"].str.upper())


def latency_rows(comparison: Comparison) -> tuple[pd.DataFrame, dict[str, Unit], str]:
    """`latency_errors` with the column of the second run named after what it is; units; and what the errors are."""
    second = comparison.measured_label
    units = {second if name == "measured" else name: unit for name, unit in LATENCY_UNITS.items()}
    frame = latency_errors(comparison.errors).rename(columns={"measured": second})
    return frame, units, _ERROR_NOTE.format(second=second)


def totals(comparison: Comparison) -> pd.DataFrame:
    """Makespan and counts, one figure a row: `figure`, `value`."""
    span = comparison.makespan
    counts = comparison.matched.counts()
    rows = [
        ("makespan, simulated", f"{span['simulated']:,.3f} s"),
        (f"makespan, {comparison.measured_label}", f"{span['measured']:,.3f} s"),
        ("makespan, error", f"{100 * span['error']:+.2f}%"),
        ("applications compared", f"{len(comparison.split):,}"),
        ("calls compared", f"{counts['num_matched']:,}"),
        ("calls not compared", f"{len(comparison.matched.unmatched):,}"),
    ]
    return pd.DataFrame(rows, columns=["figure", "value"])


def split_rows(split: pd.DataFrame) -> pd.DataFrame:
    """Mean error of the JCT by part, and its sum."""
    frame = split_summary(split)
    return frame.assign(part=frame["part"].map(PART_LABELS))


def decision_rows(comparison: Comparison) -> pd.DataFrame:
    """Agreement of decisions, and the first difference with what lay before the policy: `figure`, `value`."""
    found = comparison.divergence
    same = found.agreement
    rows = [
        ("same decision in the same order", f"{same.num_same:,} of {same.num_decisions:,} ({100 * same.share:.1f}%)"),
        ("same engine, any order", f"{same.num_same_engine:,} of {same.num_dispatches:,} dispatches"),
    ]
    if found.position is not None:
        rows.append(("first difference", f"decision {found.position + 1:,}"))
        rows.append(("  simulated", situation(found.simulated)))
        rows.append((f"  {comparison.measured_label}", situation(found.measured)))
    return pd.DataFrame(rows, columns=["figure", "value"])


def situation(found: Situation | None) -> str:
    """A decision and its inputs in one line."""
    if found is None:
        return "no further decision"
    what = "held" if found.outcome == "hold" else f"to engine {found.engine}"
    loads = [
        f"engine {each['engine']} has {counted(each['num_calls'], 'call')} of {counted(each['num_tokens'], 'token')}"
        for each in found.engines[:_MAX_ENGINES]
    ]
    more = ", ..." if len(found.engines) > _MAX_ENGINES else ""
    where = f"{found.app}/{found.call} {what} at {found.at:.4f} s"
    return f"{where}; {counted(found.num_ready, 'call')} ready; {', '.join(loads)}{more}"


def comparison_tables(comparison: Comparison, *, caption: str = "") -> list[Table]:
    """Tables of a comparison for a terminal."""
    second = comparison.measured_label
    latency, units, note = latency_rows(comparison)
    tables = [
        table(latency, units, title=f"Latency: simulated against {second}", caption=f"{note}\n{caption}"),
        table(totals(comparison), {}, title="Run"),
    ]
    if len(comparison.split):
        tables.append(
            table(split_rows(comparison.split), SPLIT_UNITS, title="Error of the JCT, along the critical paths (mean)")
        )
    tables.append(wrapping(table(decision_rows(comparison), {}, title="Decisions"), "value"))
    if comparison.recosted is not None:
        tables.append(
            table(
                comparison.recosted.table(second),
                RECOST_UNITS,
                title="Difference in engine time, by schedule and cost of steps",
                caption=recost_note(comparison.recosted, second),
            )
        )
    return tables


def recost_note(found: Recosted, second: str = "measured") -> str:
    """What stands under the table of schedule and cost: both engine times, and how much of the prices is a guess."""
    shares = [f"{100 * share:.1f}%" for share in (found.extrapolated_simulated, found.extrapolated_measured)]
    return (
        f"Engine time: simulated {found.simulated:,.3f} s, {second} {found.measured:,.3f} s. "
        f"In steps without a similar one in the other run: {shares[0]} and {shares[1]}."
    )


def _interval(low: float, high: float) -> str:
    return "-" if np.isnan(low) else f"{100 * low:+.2f} to {100 * high:+.2f}"
