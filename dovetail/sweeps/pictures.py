"""Which pictures a sweep has: what its axes allow."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.plots import style
from analysis.plots.sweep_cdf import jct_distributions
from analysis.plots.sweep_heatmap import difference_map
from analysis.plots.sweep_lines import lines_by_workload
from dovetail.sweeps.spec import ORACLE, Spec, Value
from traces.wording import counted

#: What pictures and the printed table are about.
FIGURE = "jct_mean"

#: Units of the axes that have one.
_UNITS = {"view-staleness": " (s)", "network-latency": " (s)", "window": " (calls at an engine)"}


def draw(spec: Spec, runs: pd.DataFrame, means: pd.DataFrame, differences: pd.DataFrame, folder: Path) -> None:
    """Write the pictures of a sweep into its folder.

    Parameters
    ----------
    spec : Spec
    runs : pandas.DataFrame
        Rows of the table that have a result.
    means, differences : pandas.DataFrame
        Of `analysis.statistics.sweep_tables`.
    folder : Path
    """
    first = {name: values[0] for name, values in spec.axes.items()}
    chosen = telling_arrivals(spec, _at(means, first))
    if means["arrivals"].nunique() > 1:
        style.save(_against_arrivals(spec, _at(means, first), _caption(spec, runs, first)), folder / "load")
    runs_there, differences_there = (_at_arrivals(_at(frame, first), chosen) for frame in (runs, differences))
    titles = {workload: f"{workload}, {arrivals}" for workload, arrivals in chosen.items()}
    caption = f"{_caption(spec, runs, first)} Saturated runs are drawn like the others."
    style.save(jct_distributions(runs_there, titles, oracle=ORACLE[0], caption=caption), folder / "jct-cdf")
    if not differences_there.empty:
        style.save(_map(spec, runs, differences_there, titles), folder / "differences")
    for axis in (name for name, values in spec.axes.items() if len(values) > 1):
        others = {name: value for name, value in first.items() if name != axis}
        shown = _at(means, others)
        chosen = telling_arrivals(spec, shown)
        shown = _at_arrivals(shown, chosen).assign(workload=lambda rows: rows["workload"] + ", " + rows["arrivals"])
        style.save(_sensitivity(axis, shown, _caption(spec, runs, others)), folder / f"sensitivity-{axis}")


def telling_arrivals(spec: Spec, means: pd.DataFrame) -> dict[str, str]:
    """For each workload the last arrivals, in the order of the file, at which the baseline is nowhere saturated."""
    own = means[(means["policy"] == spec.reference) & (means["figure"] == FIGURE)]
    chosen = {}
    for workload, rows in own.groupby("workload", sort=False):
        stable = ~rows.groupby("arrivals", sort=False)["is_saturated"].any()
        chosen[str(workload)] = str(stable[stable].index[-1] if stable.any() else stable.index[0])
    return chosen


def _against_arrivals(spec: Spec, means: pd.DataFrame, caption: str) -> Figure:
    if not (spec.loads or spec.rates):
        return lines_by_workload(means, "arrivals", "arrivals", oracle=ORACLE[0], caption=caption)
    shown = means.assign(asked=means["arrivals"].str.partition(" ")[2].astype(float))
    title = "offered load" if spec.loads else "applications per second"
    return lines_by_workload(shown, "asked", title, oracle=ORACLE[0], caption=caption)


def _sensitivity(axis: str, means: pd.DataFrame, caption: str) -> Figure:
    return lines_by_workload(means, axis, f"{axis}{_UNITS.get(axis, '')}", oracle=ORACLE[0], caption=caption)


def _map(spec: Spec, runs: pd.DataFrame, differences: pd.DataFrame, titles: dict[str, str]) -> Figure:
    first = {name: values[0] for name, values in spec.axes.items()}
    note = (
        f"Difference to {spec.reference}, paired by seed. *: significant among all comparisons of the sweep (false "
        "discovery rate 5%)."
    )
    labels = {workload: title.replace(", ", "\n") for workload, title in titles.items()}
    own = differences[differences["figure"] == FIGURE]
    return difference_map(own, labels, caption=f"{_caption(spec, runs, first)} {note}")


def _at(frame: pd.DataFrame, values: dict[str, Value]) -> pd.DataFrame:
    for name, value in values.items():
        frame = frame[frame[name] == value]
    return frame


def _at_arrivals(frame: pd.DataFrame, chosen: dict[str, str]) -> pd.DataFrame:
    return frame if frame.empty else frame[frame["arrivals"] == frame["workload"].map(chosen)]


def _caption(spec: Spec, runs: pd.DataFrame, axes: dict[str, Value]) -> str:
    where = "".join(f", {name} {value}" for name, value in axes.items())
    options = f" ({spec.options})" if spec.options else ""
    return (
        f"Simulated{options}{where}; {counted(runs['seed'].nunique(), 'seed')}, the same for every policy; 95% "
        f"intervals over seeds; the first {spec.warmup:.0%} of the applications are cut off. "
        f"oracle: {spec.lines[ORACLE[0]]}."
    )
