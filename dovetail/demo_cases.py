"""Policies of `dovetail demo`, the profile that prices their steps, and how its tables are recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

#: The notes name no card for these rows; the figures were later found to be of Llama-7B.
PROFILE = "a100-llama-7b"

#: Width of tables that are recorded, characters.
WIDTH = 80

#: The file that holds the tables; its folder may be replaced.
MARKER = "demo.txt"


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the demo.

    Parameters
    ----------
    name : str
        In tables, pictures and folder names.
    policy : str
    arguments : tuple of str
        Its parameters.
    window : int
        Most calls at one engine; 0 = no limit but the policy's.
    bounds : mapping of stage to int
        The policy's limits, for the closed form.
    published : float, seconds
        What the benchmark notes measured of the system with this policy; NaN when there is none.
    """

    name: str
    policy: str
    arguments: tuple[str, ...]
    window: int
    bounds: Mapping[str, int]
    published: float

    @property
    def limits(self) -> str:
        """Most calls at one engine, in words."""
        bounds = ", ".join(f"{stage} {bound}" for stage, bound in self.bounds.items())
        return bounds or f"all {self.window}"


#: An engine that must answer the reduce call quickly admits two calls; only a policy that knows stages can admit more
#: maps. FIFO with eight calls shows what the larger batch alone is worth, and what the stages add. Published: means of
#: the notes' nine runs after the first (in brackets there), "Map-Reduce 4 GPUs".
CASES = (
    Case("fifo", "fifo", (), 2, {}, 13.04),  # Parrot baseline
    Case(
        "stage-priority",
        "stage-priority",
        ("bounds=map=8,reduce=2",),
        0,
        {"map": 8, "reduce": 2},
        5.30,  # Parrot main
    ),
    Case("prefix-affinity", "prefix-affinity", (), 2, {}, nan),
    Case("fifo-of-8", "fifo", (), 8, {}, nan),
)


def show(shown: Sequence[RenderableType], directory: Path, *, printed: bool) -> None:
    """Record tables and lines in `directory`, the same from every terminal, and print them where that is asked for."""
    from rich.console import Console

    from dovetail.output import console

    with (directory / MARKER).open("w", encoding="utf-8") as file:
        Console(file=file, width=WIDTH).print(*shown, sep="\n")
    if printed:
        console(WIDTH).print(*shown, sep="\n")
