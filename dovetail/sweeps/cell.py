"""One cell of a sweep: everything that decides its result, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from dovetail.options import engines_option, gateway_options, limit_options, policy_options, profile_option

#: The workload of a cell has the bare seed, its network and policy have this more, so that a policy that draws does not
#: repeat the numbers that the arrivals came from.
RUN_SEED_OFFSET = 1_000_000


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When applications arrive.

    Parameters
    ----------
    kind : "load", "rate", "process" or "own"
        A share of what the engines can do at best, applications per second, an arrival process as the command line
        writes it, or the workload's own arrivals.
    value : float or str
        What the kind says; "" for "own".
    cv : float
        Coefficient of variation of the gaps, for loads and rates; 1 is a Poisson process.
    """

    kind: str
    value: float | str = ""
    cv: float = 1.0

    def __str__(self) -> str:
        return str(self.value) if self.kind == "process" else f"{self.kind} {self.value}".strip()


@dataclass(frozen=True, slots=True)
class Source:
    """Where the applications of a cell come from.

    Parameters
    ----------
    parts : tuple of (label, line)
        What stands behind `dovetail workload generate`, or a workload file; several are mixed, one has the label "".
    folder : str
        Files are found relative to it.
    deadline : float or None
        Gives every application a deadline: this many times what it would take alone.
    """

    parts: tuple[tuple[str, str], ...]
    folder: str
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One simulation of a sweep.

    Parameters
    ----------
    coordinates : tuple of (column, value)
        Its place in the table.
    source : Source
    arrivals : Arrivals
    words : tuple of str
        What would stand behind `dovetail simulate WORKLOAD`.
    warmup : float
    seed : int
    """

    coordinates: tuple[tuple[str, str | float], ...]
    source: Source
    arrivals: Arrivals
    words: tuple[str, ...]
    warmup: float
    seed: int


@click.command(add_help_option=False)
@policy_options
@engines_option
@profile_option
@gateway_options
@limit_options
def _setting(**options: Any) -> None:
    """What a cell may set."""


#: Options that an axis may go through, without the dashes: those of `dovetail simulate` but for its seed.
AXES = {each.opts[0].removeprefix("--"): each for each in _setting.params if each.name != "seed"}


def parse_words(words: tuple[str, ...], seed: int = 0) -> dict[str, Any]:
    """Options of a cell.

    Raises
    ------
    ValueError
        When `dovetail simulate` would refuse them; one line.
    """
    try:
        context = _setting.make_context("cell", list(words))
    except click.UsageError as error:
        raise ValueError(error.format_message()) from None
    source = context.get_parameter_source("seed")
    if source is not None and source.name == "COMMANDLINE":
        raise ValueError("--seed is not for the options of a cell: seeds are given by 'seeds'")
    return {**context.params, "seed": RUN_SEED_OFFSET + seed}
