"""The end of `dovetail demo`: a small load simulated, and served by vLLM on the virtual device, policy by policy.

What runs is a suite (`dovetail suite`), which stays beside the records.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovetail.demo_cases import CASES, MARKER, PROFILE, Case, show

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from analysis.comparison.compare import Comparison
    from traces.records import RunRecords

#: A load of some seconds, on engines that a machine of two cores can host.
_NUM_ENGINES = 2
_NUM_APPLICATIONS = 6
_NUM_MAPS = 8
_RATE = 1.0  # applications a second

#: Policies that answer for three; FIFO of 8 is there to take the first part's gain apart.
_CASES = CASES[:3]

#: Of `dovetail.backends.device_options`: vLLM on the virtual device.
_DEVICE: Mapping[str, Any] = {
    "device": "virtual",
    "profile": PROFILE,
    "model": None,
    "dtype": "float16",
    "load_format": "dummy",
    "tensor_parallel_size": 1,
    "gpu_memory_utilization": 0.9,
}

_NOTE = (
    "Virtual device: vLLM itself (scheduler, KV cache, API of its engine), in real time, on a device that waits the "
    "step times of the profile. These are modelled, not measured: the comparison is about everything else. Same "
    "decisions: the longest sequence that both decided alike; where calls end at one time on both engines, an instant "
    "swaps them. No two prompts share a KV block, so fifo and prefix-affinity do the same."
)


def virtual_part(out: Path, *, printed: bool) -> pd.DataFrame | None:
    """Run the policies in both backends and show how far they are apart; say so where vLLM is not installed.

    Parameters
    ----------
    out : Path
        Directory to write.
    printed : bool
        Print the table, too.

    Returns
    -------
    pandas.DataFrame or None
        Its rows; None where vLLM is not installed.

    Raises
    ------
    EngineFailure
        When an engine does not come up.
    """
    from dovetail.output import staged
    from sim.vllm_version import require_vllm

    try:
        version = require_vllm()
    except ValueError as error:
        left_out = f"Simulated against vLLM on the virtual device is left out here: {error}"
        print(left_out, file=sys.stdout if printed else sys.stderr)
        return None
    print(f"\nvLLM {version} now serves a smaller load on the virtual device; about a minute.", file=sys.stderr)
    with staged(out, overwrite=True, marker=MARKER) as directory:
        started_at = time.perf_counter()
        _run(directory)
        seconds = time.perf_counter() - started_at
        runs = {case.name: _records(directory, case.name) for case in _CASES}
        compared = {name: _compare(directory / name, *pair) for name, pair in runs.items()}
        _picture(directory)
        ended = f"The runs took {seconds:.0f} s. In {out} are records, pictures and a report.html for every policy."
        rows = _rows(runs, compared)
        show(("", _table(rows), ended), directory, printed=printed)
    return rows


def _run(directory: Path) -> None:
    """Every policy in both backends; engines stay up from one to the next."""
    import numpy as np

    from dovetail.suite_runs import measure_runs, prepared, simulate_runs
    from dovetail.suite_spec import load_suite
    from traces.arrivals import poisson_arrivals
    from traces.files import save_workload
    from traces.generators.mapreduce import map_reduce

    load = map_reduce(_NUM_MAPS, poisson_arrivals(_RATE, _NUM_APPLICATIONS, np.random.default_rng(0)))
    save_workload(load, directory / "workload.json")
    lines = [f"defaults: --engines {_NUM_ENGINES}", *map(_line, _CASES)]
    (directory / "suite.yaml").write_text("\n".join(lines) + "\n")
    runs = load_suite(directory / "suite.yaml")
    workloads = {run.name: prepared(run, PROFILE) for run in runs}
    with redirect_stdout(io.StringIO()):  # too quick for progress to matter
        simulate_runs(runs, workloads, PROFILE, directory / "simulated")
    with redirect_stdout(sys.stderr):  # progress; standard output is for the tables
        if not measure_runs(runs, workloads, dict(_DEVICE), directory / "virtual"):
            raise RuntimeError("a run on the virtual device is not complete; the demo ends here")


def _line(case: Case) -> str:
    """A case as a line of a suite."""
    arguments = "".join(f" --policy-arg {argument}" for argument in case.arguments)
    return f"{case.name}: workload.json --policy {case.policy}{arguments} --window {case.window}"


def _records(directory: Path, name: str) -> tuple[RunRecords, RunRecords]:
    """Simulated, and on the virtual device."""
    from traces.records import read_run

    return read_run(directory / "simulated" / name / "0"), read_run(directory / "virtual" / name / "0")


def _compare(directory: Path, simulated: RunRecords, virtual: RunRecords) -> Comparison:
    """Compare two runs; pictures and report go to `directory`."""
    from analysis.comparison.compare import compare_runs
    from analysis.plots import style
    from analysis.plots.comparison import comparison_figures
    from analysis.report.page import render

    found = compare_runs(simulated, virtual)
    directory.mkdir()
    for name, figure in comparison_figures(simulated, virtual, found):
        style.save(figure, directory / name, formats=("png",))
    (directory / "report.html").write_text(render(simulated, virtual, found), encoding="utf-8")
    return found


def _rows(runs: Mapping[str, tuple[RunRecords, RunRecords]], compared: Mapping[str, Comparison]) -> pd.DataFrame:
    """A policy a row: completion times of both, and how many decisions agree."""
    import pandas as pd

    rows = [
        {
            "policy": name,
            "simulated": simulated,
            "virtual device": virtual,
            "error": simulated / virtual - 1,
            "makespan error": compared[name].makespan["error"],
            "same decisions": compared[name].divergence.agreement.share,
        }
        for name, pair in runs.items()
        for simulated, virtual in [_mean_jcts(pair)]
    ]
    return pd.DataFrame(rows)


def _table(rows: pd.DataFrame) -> Table:
    from analysis.tables import PERCENT, SECONDS, Unit, table

    signed = Unit("%", 1e2, 2, signed=True)
    units = {"simulated": SECONDS, "virtual device": SECONDS, "error": signed, "makespan error": signed}
    title = (
        f"Mean JCT of {_NUM_APPLICATIONS} map-reduces of {_NUM_MAPS} maps, Poisson arrivals at {_RATE:g} a second, "
        f"{_NUM_ENGINES} engines, profile {PROFILE}"
    )
    return table(rows, units | {"same decisions": PERCENT}, title=title, caption=_NOTE)


def _mean_jcts(pair: Sequence[RunRecords]) -> list[float]:
    from analysis.metrics import jct

    return [float(jct(records.calls).mean()) for records in pair]


def _picture(directory: Path) -> None:
    """`policies.png`: mean JCT of both, policy by policy."""
    from analysis.comparison.manifests import hardware
    from analysis.plots import style
    from analysis.plots.ranking import ranking_figure
    from analysis.ranking import rank_policies
    from analysis.validation_runs import find_runs, validation_table
    from traces.records import read_manifest

    virtual = find_runs(directory / "virtual")
    ranking = rank_policies(validation_table(find_runs(directory / "simulated"), virtual))
    engine = hardware(read_manifest(virtual[0]))
    caption = (
        f"Virtual device: {engine}; its step times are modelled, not measured. No two prompts share a KV block, so "
        "fifo and prefix-affinity do the same."
    )
    figure = ranking_figure(ranking, merit="mean JCT (s)", measured_label="virtual device", caption=caption)
    style.save(figure, directory / "policies", formats=("png",))
