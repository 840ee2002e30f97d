"""One point of a published figure beside what was predicted and simulated, and tables of such points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

COLUMNS = (
    "figure",
    "system",
    "what",
    "at",
    "published",
    "predicted in closed form",
    "simulated",
    "error of prediction (%)",
    "error of simulation (%)",
    "fitted?",
    "note",
)


@dataclass(frozen=True, slots=True)
class Point:
    """A published value with its counterparts.

    Parameters
    ----------
    figure, system : str
    what : str
        Article, or quantity measured.
    at : str
        Place on the figure's axis.
    published, predicted, simulated : float
        Seconds; milliseconds per token in figure 16. NaN where the closed form does not apply.
    is_fitted : bool
        Whether a constant was fitted to this point, among others.
    note : str
    """

    figure: str
    system: str
    what: str
    at: str
    published: float
    predicted: float
    simulated: float
    is_fitted: bool
    note: str = ""

    def row(self) -> tuple[object, ...]:
        """The row, in the order of `COLUMNS`."""
        errors = (100 * (value / self.published - 1) for value in (self.predicted, self.simulated))
        head = (self.figure, self.system, self.what, self.at, self.published, self.predicted, self.simulated)
        return (*head, *errors, self.is_fitted, self.note)


def table(points: Iterable[Point]) -> pd.DataFrame:
    """Points as a table, columns `COLUMNS`."""
    return pd.DataFrame([point.row() for point in points], columns=list(COLUMNS))


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Errors of the simulation by figure, system and whether fitted: points, mean absolute, median and largest (%)."""
    absolute = rows.assign(error=rows["error of simulation (%)"].abs())
    grouped = absolute.groupby(["figure", "system", "fitted?"], sort=False)["error"]
    return (
        grouped.agg(["size", "mean", "median", "max"])
        .reset_index()
        .rename(
            columns={
                "size": "points",
                "mean": "mean absolute error (%)",
                "median": "median absolute error (%)",
                "max": "largest absolute error (%)",
            }
        )
    )
