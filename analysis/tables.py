"""DataFrames as tables for a terminal: units in the headers, milliseconds where they read better.

Records and summaries hold seconds; the change of unit happens here, at the last moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from rich import box
from rich.table import Table

from analysis.bounds import Bounds
from analysis.prediction import Term, bound_terms
from analysis.summary import ALL_STAGES, STATISTICS, Summary


@dataclass(frozen=True, slots=True)
class Unit:
    """How a column is shown.

    Parameters
    ----------
    label : str
        Written in the header, in brackets; empty for plain numbers.
    scale : float
        Shown value over stored value: 1000 turns seconds into milliseconds.
    num_decimals : int
    signed : bool
        Show the sign of positive values, too.
    """

    label: str
    scale: float = 1.0
    num_decimals: int = 0
    signed: bool = False


COUNT = Unit("")
MILLISECONDS = Unit("ms", 1e3, 1)
SECONDS = Unit("s", 1.0, 3)
PERCENT = Unit("%", 1e2, 1)
TENTHS = Unit("", 1.0, 1)
RATIO = Unit("", 1.0, 2)

#: What stands in a cell whose value is undefined, such as the mean of no calls.
UNDEFINED = "-"


def table(frame: pd.DataFrame, units: Mapping[str, Unit], *, title: str = "", caption: str = "") -> Table:
    """Rich table of a frame.

    Parameters
    ----------
    frame : pandas.DataFrame
    units : dict of column name to Unit
        Columns without an entry are text, left-aligned as they are.
    title, caption : str, optional
    """
    shown = Table(title=title or None, caption=caption or None, box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    shown.title_justify = shown.caption_justify = "left"
    columns = {str(name): [cell(value, units.get(str(name))) for value in frame[name]] for name in frame.columns}
    for name, cells in columns.items():
        is_text = name not in units  # names stay on one line; headers of numbers wrap, but only between words
        title_ = header(name, units.get(name))
        least = max(map(len, [*title_.split(), *cells]), default=1)  # a figure that lost a digit would be another one
        shown.add_column(title_, justify="left" if is_text else "right", no_wrap=is_text, min_width=least)
    for row in zip(*columns.values(), strict=True):
        shown.add_row(*row)
    return shown


def wrapping(shown: Table, *names: str) -> Table:
    """The table with some columns of text on as many lines as the others leave them room for.

    Parameters
    ----------
    shown : Table
        Made by `table`, which keeps text on one line.
    *names : str
        Titles of the columns.
    """
    for column in shown.columns:
        if str(column.header) in names:
            column.no_wrap, column.overflow, column.min_width = False, "fold", None
    return shown


def header(name: str, unit: Unit | None) -> str:
    """Column title: words instead of underscores, the unit in brackets; a count needs no "num".

    Examples
    --------
    >>> header("jct_mean", SECONDS), header("num_failed_calls", COUNT), header("num", COUNT)
    ('JCT mean (s)', 'failed calls', 'n')
    """
    words = [word.upper() if word in {"ttft", "tpot", "e2e", "jct"} else word for word in name.split("_")]
    if words[0] == "num":
        words = words[1:] or ["n"]
    label = f" ({unit.label})" if unit is not None and unit.label else ""
    return " ".join(words) + label


def cell(value: object, unit: Unit | None) -> str:
    """One value as text.

    Examples
    --------
    >>> cell(0.0205, MILLISECONDS), cell(float("nan"), SECONDS), cell("map", None)
    ('20.5', '-', 'map')
    """
    if unit is None:
        return str(value)
    number = float(value)  # type: ignore[arg-type]
    sign = "+" if unit.signed else ""
    return UNDEFINED if number != number else f"{number * unit.scale:{sign},.{unit.num_decimals}f}"


def summary_tables(summary: Summary, *, caption: str = "") -> list[Table]:
    """Tables of one run: latency per stage, applications and totals, engines.

    Parameters
    ----------
    summary : Summary
    caption : str
        Hardware, model, engine version, workload, policy and seed; shown under the first table.
    """
    latency = summary.latency.assign(metric=[header(name, None) for name in summary.latency["metric"]])
    if latency["stage"].nunique() == 2:  # all calls, and one stage: the same rows
        latency = latency[latency["stage"] == ALL_STAGES]
    jct = pd.DataFrame([summary.jct])
    return [
        table(latency, latency_units(MILLISECONDS), title="Latency of calls", caption=caption),
        table(jct, latency_units(SECONDS), title="Job completion time (JCT) of applications"),
        totals_table(summary.totals),
        table(summary.engines, ENGINE_UNITS, title="Engines"),
    ]


def totals_table(totals: Mapping[str, float]) -> Table:
    """Totals of a run, one figure a line: nine columns would not fit a terminal."""
    rows = [(header(name, TOTAL_UNITS[name]), cell(value, TOTAL_UNITS[name])) for name, value in totals.items()]
    shown = table(pd.DataFrame(rows, columns=["figure", "value"]), {}, title="Totals")
    shown.columns[1].justify = "right"
    return shown


def terms_table(terms: Sequence[Term], *, title: str = "", caption: str = "") -> Table:
    """A sum written out: one term a line, then the total.

    Parameters
    ----------
    terms : sequence of Term
        Of `Prediction.terms` or `explain_gap`; bounds do not add up and belong in `bounds_table`.
    title, caption : str, optional
    """
    shown = _terms(terms, title, caption)
    shown.add_section()
    shown.add_row("total", "", cell(sum(term.seconds for term in terms), SECONDS))
    return shown


def bounds_table(bounds: Bounds) -> Table:
    """Lower bounds, one a line."""
    return _terms(bound_terms(bounds), "Lower bounds", "")


def _terms(terms: Sequence[Term], title: str, caption: str) -> Table:
    shown = Table(title=title or None, caption=caption or None, box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    shown.title_justify = shown.caption_justify = "left"
    shown.add_column("term")
    shown.add_column("formula", overflow="fold")
    shown.add_column("time (s)", justify="right", no_wrap=True)
    for term in terms:
        shown.add_row(term.label, term.formula, cell(term.seconds, SECONDS))
    return shown


def latency_units(unit: Unit) -> dict[str, Unit]:
    """Units of the columns named by `STATISTICS`: the first is a count, the others are times."""
    return {name: COUNT if name == "num" else unit for name in STATISTICS}


#: Units of `Summary.totals`.
TOTAL_UNITS = {
    "num_calls": COUNT,
    "num_failed_calls": COUNT,
    "num_applications": COUNT,
    "num_failed_applications": COUNT,
    "makespan": SECONDS,
    "output_tokens_per_second": TENTHS,
    "calls_per_second": RATIO,
    "cache_hit_share": PERCENT,
    "num_preemptions": COUNT,
}

#: Units of `Summary.engines`.
ENGINE_UNITS = {"engine": COUNT, "num_calls": COUNT, "num_steps": COUNT, "busy_share": PERCENT, "mean_batch": RATIO}

#: Units of the frame that `analysis.summary.compare` returns.
COMPARISON_UNITS = {
    "jct_mean": SECONDS,
    "jct_p95": SECONDS,
    "makespan": SECONDS,
    "ttft_mean": MILLISECONDS,
    "tpot_mean": MILLISECONDS,
    "e2e_mean": MILLISECONDS,
    "output_tokens_per_s": TENTHS,
    "cache_hits": PERCENT,
    "num_preempted": COUNT,
    "num_failed": COUNT,
}
