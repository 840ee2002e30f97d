"""Figures 11 to 16 of the Parrot paper: published example results, closed form, simulation, errors."""

from __future__ import annotations

from itertools import chain

import pandas as pd

from reproduce import figure, parrot_chains, parrot_shared


def rows() -> pd.DataFrame:
    """Every point of figures 11, 12a, 13, 14 and 16; columns `reproduce.figure.COLUMNS`."""
    return figure.table(
        chain(
            parrot_chains.figure_11(),
            parrot_chains.figure_12a(),
            parrot_chains.figure_13(),
            parrot_shared.figure_14(),
            parrot_shared.figure_16(),
        )
    )


def summary(points: pd.DataFrame) -> pd.DataFrame:
    """Errors of the simulation by figure and system, fitted and predicted points apart (`reproduce.figure.summary`)."""
    return figure.summary(points)


def by_figure(points: pd.DataFrame) -> pd.Series:
    """Mean absolute error of the simulation (%) of each figure."""
    return points["error of simulation (%)"].abs().groupby(points["figure"], sort=False).mean()


def misses(points: pd.DataFrame, figure_number: str = "11", tolerance: float = 2.0) -> pd.DataFrame:
    """Points of a figure whose simulated value is off by more than `tolerance` percent."""
    chosen = points[points["figure"] == figure_number]
    return chosen[chosen["error of simulation (%)"].abs() > tolerance]
