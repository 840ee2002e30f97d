"""The report: tables, pictures and settings of two runs in a single HTML file, pictures embedded, no script."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import pandas as pd
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from analysis.comparison import tables
from analysis.comparison.compare import Comparison
from analysis.comparison.manifests import describe, settings_table
from analysis.plots.comparison import comparison_figures
from analysis.tables import Unit, cell, header
from traces.records import RunRecords

#: What a reader should know of every comparison.
LIMITATIONS = (
    "Intervals come from resampling the applications of these two runs. They leave out what differs between repeats of "
    "the same run.",
    "Records hold no dependencies: a call's parent on the critical path is the call of the same application that had "
    "finished last when it became ready. Parts add up to the JCT whichever parent is taken.",
    "Prefill and decode contain the waits after a preemption; client and network contain think time.",
    "Where the two critical paths of an application visit different calls, time moves between parts without any step "
    "being slower.",
    "Schedule and cost of steps are told apart in engine time only. Latency cannot be re-costed from records: the "
    "client would have to be run again.",
    "The load of engines at the first different decision is what records tell; a policy may also look at its own "
    "state, at rank, or at views that are older.",
)

#: Heading and explanation of each picture; `{second}` is what the second run is.
PICTURES = {
    "scatter": ("Simulated against {second}", "One dot a call or application; the grey band is 5% on either side."),
    "latency_cdf": ("Distributions of latency", "Cumulative, stage by stage."),
    "stage_errors": ("Error of the mean, stage by stage", "With 95% intervals."),
    "error_split": ("Where the error of the JCT comes from", "Along the critical paths, mean over applications."),
    "gantt": ("What ran where and when", "The same time axis for both runs."),
    "step_residuals": ("Step times", "Every step of the second run at the simulator's price."),
}


@dataclass(frozen=True, slots=True)
class Section:
    """A table of the report.

    Parameters
    ----------
    title, note : str
    columns : list of (text, whether it is a number)
    rows : list of list of str
    """

    title: str
    note: str
    columns: list[tuple[str, bool]]
    rows: list[list[str]]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the report; `data` is a PNG in base64."""

    title: str
    note: str
    data: str


def render(simulated: RunRecords, measured: RunRecords, comparison: Comparison) -> str:
    """The page as HTML text.

    Parameters
    ----------
    simulated, measured : RunRecords
    comparison : Comparison
        Of the two.
    """
    template = files("analysis.report").joinpath("page.html.j2").read_text()
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    figures = comparison_figures(simulated, measured, comparison)
    return page.from_string(template).render(
        title=simulated.manifest.get("workload", {}).get("name", "comparison"),
        simulated=describe(simulated.manifest),
        measured=describe(measured.manifest),
        second=comparison.measured_label,
        remarks=comparison.remarks,
        headline=_headline(comparison),
        sections=_sections(comparison),
        pictures=[_picture(name, figure, comparison.measured_label) for name, figure in figures],
        settings=settings_table(simulated.manifest, measured.manifest).to_dict("records"),
        limitations=LIMITATIONS,
    )


def _picture(name: str, figure: Figure, second: str) -> Picture:
    title, note = PICTURES[name]
    return Picture(title.format(second=second), note, png(figure))


def png(figure: Figure) -> str:
    """A figure as PNG in base64."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return base64.b64encode(buffer.getvalue()).decode()


def section(frame: pd.DataFrame, units: Mapping[str, Unit], title: str, note: str = "") -> Section:
    """A frame as a table of the report, units in the headers as on a terminal."""
    columns = [
        (header(str(name), units.get(str(name))), str(name) in units or str(name).endswith("interval"))
        for name in frame.columns
    ]
    cells = [[cell(value, units.get(str(name))) for value in frame[name]] for name in frame.columns]
    return Section(title, note, columns, [list(row) for row in zip(*cells, strict=True)])


def _headline(comparison: Comparison) -> list[tuple[str, str]]:
    """The few figures at the top: label and value."""
    means = comparison.errors[(comparison.errors["statistic"] == "mean") & (comparison.errors["stage"] == "(all)")]
    errors = {str(row["metric"]).upper(): row["error"] for row in means.to_dict("records")}
    errors["makespan"] = comparison.makespan["error"]
    figures = [
        (f"mean {name}" if name != "makespan" else name, f"{100 * error:+.2f}%") for name, error in errors.items()
    ]
    return [*figures, ("same decisions", f"{100 * comparison.divergence.agreement.share:.1f}%")]


def _sections(comparison: Comparison) -> list[Section]:
    latency, units, errors = tables.latency_rows(comparison)
    found = [
        section(latency, units, "Latency", errors),
        section(tables.totals(comparison), {}, "Run"),
        section(tables.decision_rows(comparison), {}, "Decisions"),
    ]
    if len(comparison.split):
        note = "Mean over applications. For each application the parts add up to its error exactly."
        found.insert(
            1, section(tables.split_rows(comparison.split), tables.SPLIT_UNITS, "Error of the JCT by part", note)
        )
    if comparison.recosted is not None:
        note = tables.recost_note(comparison.recosted, comparison.measured_label)
        frame = comparison.recosted.table(comparison.measured_label)
        found.append(section(frame, tables.RECOST_UNITS, "Engine time: schedule and cost of steps", note))
    return found
