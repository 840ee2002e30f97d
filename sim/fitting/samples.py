"""Measured steps as the fit of a calibration takes them."""

from __future__ import annotations

from typing import NamedTuple

from sim.step_cost import Sharing


class Load(NamedTuple):
    """What one step runs; as in `sim.step_cost.StepCost.step`."""

    num_decodes: int
    num_context_tokens: int
    prefills: tuple[tuple[int, int], ...]
    sharing: Sharing

    @property
    def num_tokens(self) -> int:
        return self.num_decodes + sum(new for new, _ in self.prefills)


class Sample(NamedTuple):
    """A window of consecutive steps with their time together, or the median of decode steps over the same calls.

    Parameters
    ----------
    point : str
        The load it belongs to, or the part of the windows beside a background; a fit holds out whole ones.
    kind : str
        Of the point.
    held_out : bool
    asynchronous : bool
        The engine's scheduling.
    is_first : bool
        Whether the engine was idle before.
    seconds : float
        Of all loads together.
    num_steps : int
        Steps, or windows, that the median is over.
    noise : float, seconds
        Standard error of the median; 0 for windows.
    is_power_bound : bool
        Whether the device had prefilled for so long that it lowered its clocks.
    loads : tuple of Load
        One for each step of a window; for a median, one at the mean context of the steps.
    launches : tuple of float, seconds
        For each step of a window how long the engine core took to launch it, and no less than the decode step ahead; 0
        for decode steps and where that is not known. Empty where no launch is known.
    """

    point: str
    kind: str
    held_out: bool
    asynchronous: bool
    is_first: bool
    seconds: float
    num_steps: int
    noise: float
    is_power_bound: bool
    loads: tuple[Load, ...]
    launches: tuple[float, ...] = ()

    @property
    def has_prefills(self) -> bool:
        return any(load.prefills for load in self.loads)
