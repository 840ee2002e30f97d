"""Metrics, prediction, comparison, tables and pictures of run records. Imports traces only, never a backend.

What the commands print, as pandas DataFrames:

>>> import analysis
>>> run = analysis.read_run("run")  # doctest: +SKIP
>>> analysis.call_metrics(run.calls)  # doctest: +SKIP
>>> analysis.summarise(run.calls, run.steps).latency  # doctest: +SKIP
>>> comparison = analysis.compare_runs(run, analysis.read_run("measured"))  # doctest: +SKIP
>>> comparison.errors, comparison.split, comparison.recosted.table()  # doctest: +SKIP
>>> table = analysis.validation_table(analysis.find_runs("simulated"), analysis.find_runs("measured"))  # doctest: +SKIP
>>> analysis.rank_policies(table).pairs  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.comparison.compare import Comparison, compare_runs
    from analysis.comparison.split import split_summary
    from analysis.comparison.tables import latency_errors
    from analysis.metrics import call_metrics, jct, makespan
    from analysis.ranking import Ranking, rank_policies
    from analysis.summary import Summary, summarise
    from analysis.validation_runs import find_runs, validation_table
    from traces.records import RunRecords, read_run

#: Where each public name lives. Looked up when it is first used: `dovetail simulate` should not wait for SciPy.
_MODULES = {
    "analysis.comparison.compare": ("Comparison", "compare_runs"),
    "analysis.comparison.split": ("split_summary",),
    "analysis.comparison.tables": ("latency_errors",),
    "analysis.metrics": ("call_metrics", "jct", "makespan"),
    "analysis.ranking": ("Ranking", "rank_policies"),
    "analysis.summary": ("Summary", "summarise"),
    "analysis.validation_runs": ("find_runs", "validation_table"),
    "traces.records": ("RunRecords", "read_run"),
}

__all__ = [
    "Comparison",
    "Ranking",
    "RunRecords",
    "Summary",
    "call_metrics",
    "compare_runs",
    "find_runs",
    "jct",
    "latency_errors",
    "makespan",
    "rank_policies",
    "read_run",
    "split_summary",
    "summarise",
    "validation_table",
]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")
