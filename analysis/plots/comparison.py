"""All pictures of a comparison, by the name of their file."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from analysis.comparison.compare import Comparison
from analysis.comparison.manifests import caption as caption_of
from analysis.plots.cdf import latency_cdf
from analysis.plots.errors import stage_errors, waterfall
from analysis.plots.gantt import gantt
from analysis.plots.residuals import step_residuals
from analysis.plots.scatter import scatter
from traces.records import RunRecords


def comparison_figures(
    simulated: RunRecords, measured: RunRecords, comparison: Comparison
) -> Iterator[tuple[str, Figure]]:
    """Name and figure of each picture that the records allow, one after the other so that only one is in memory.

    Parameters
    ----------
    simulated, measured : RunRecords
    comparison : Comparison
        Of the two.
    """
    caption = caption_of(simulated.manifest, measured.manifest)
    label = comparison.measured_label
    calls = {"simulated": comparison.matched.simulated, label: comparison.matched.measured}
    yield "scatter", scatter(comparison, measured_label=label, caption=caption)
    yield "latency_cdf", latency_cdf(calls, caption=caption, shown=("ttft", "tpot", "e2e"))
    yield "stage_errors", stage_errors(comparison.errors, measured_label=label, caption=caption)
    if len(comparison.split):
        yield "error_split", waterfall(comparison.split, measured_label=label, caption=caption)
    yield "gantt", gantt(calls, caption=caption)
    if comparison.recosted is not None:
        yield "step_residuals", step_residuals(simulated.steps, measured.steps, measured_label=label, caption=caption)
