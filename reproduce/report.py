"""Prints the reproductions: tables of rows and errors, and under them what they do not cover."""

from __future__ import annotations

import pandas as pd
from rich.console import Console

from reproduce import log, measured, notes, parrot
from reproduce.cards import MISSING_CARDS
from reproduce.run_figures import TIMES, mean_absolute_errors
from reproduce.tables import frame_table, print_rows


def print_notes(console: Console, rows: pd.DataFrame | None = None) -> None:
    """All rows of the benchmark notes, the four-GPU log and the six-second puzzle.

    Parameters
    ----------
    console : rich.console.Console
    rows : pandas.DataFrame, optional
        From `reproduce.notes.rows`; simulated here when left out.
    """
    found = notes.rows() if rows is None else rows
    for (benchmark, model, gpu), chosen in found.groupby(["benchmark", "model", "GPU"], sort=False):
        rest = chosen.drop(columns=["benchmark", "model", "GPU"])
        print_rows(console, rest, title=f"{benchmark}: {model} on {gpu}")
    console.print("* a constant was fitted to this row; every other row is predicted.")
    console.print("Four-GPU rows: the notes state no card. Cards that cannot be done:")
    for reason in MISSING_CARDS:
        console.print(f"  {reason}")
    console.print(frame_table(log.timeline(), title="four-GPU log, seconds after the first submission", digits=3))
    console.print("* the interval between submissions was taken from this instant of the log.")
    console.print(f"calls per engine: logged [8, 8, 8, 7], simulated {log.calls_per_engine()}", markup=False)
    console.print(frame_table(log.puzzle(), title="why 6 s took about 15 s (Parrot baseline, 4 GPUs)", digits=3))
    console.print(log.REMARK)


def print_parrot(console: Console, points: pd.DataFrame | None = None, *, every_point: bool = True) -> None:
    """Figures of the Parrot paper.

    Parameters
    ----------
    console : rich.console.Console
    points : pandas.DataFrame, optional
        From `reproduce.parrot.rows`; simulated here when left out.
    every_point : bool
        Print each point, or the errors by figure alone.
    """
    found = parrot.rows() if points is None else points
    if every_point:
        for (number, system), chosen in found.groupby(["figure", "system"], sort=False):
            print_rows(console, chosen.drop(columns=["figure", "system"]), title=f"figure {number}, {system}")
        console.print("* a constant was fitted to this point, among others; every other point is predicted.")
    console.print(frame_table(parrot.summary(found), title="errors of the simulation"))
    means = ", ".join(f"figure {number}: {error:.2f}%" for number, error in parrot.by_figure(found).items())
    console.print(f"mean absolute error: {means}")
    misses = parrot.misses(found).drop(columns="figure")
    print_rows(console, misses, title=f"figure 11: off by more than 2% ({len(misses)} points)")


def print_measured(console: Console, rows: pd.DataFrame | None = None, *, profile: str = measured.PROFILE) -> None:
    """Measured scenarios beside their simulation, one table a figure, and the errors over all of them.

    Parameters
    ----------
    console : rich.console.Console
    rows : pandas.DataFrame, optional
        From `reproduce.measured.rows`; simulated here when left out.
    profile : str
        With which they were simulated.
    """
    found = measured.rows(profile) if rows is None else rows
    for figure in TIMES:
        chosen = found[["run", *(column for column in found.columns if column.startswith(figure))]]
        chosen.columns = [column.removeprefix(figure).strip() for column in chosen.columns]
        console.print(frame_table(chosen, title=figure, digits=3))
    counts = [f"{count} {kind}" for count in ("steps", "preemptions") for kind in ("measured", "simulated")]
    console.print(frame_table(found[["run", "calls", *counts]], title="steps and preemptions"))
    console.print(frame_table(mean_absolute_errors(found), title="errors of the simulation"))
    console.print(
        "Measured: vLLM 0.24.0, one H100 80 GB, Llama-13B shape, fp16, random weights; mean of the repeats; noise: "
        f"the highest repeat above the lowest. Simulated: profile {profile}"
        f"{', to which no run contributed' if profile == measured.PROFILE else ''}."
    )
