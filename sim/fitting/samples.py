"""Measured steps as the fit of a calibration takes them."""

from __future__ import annotations

from typing import NamedTuple

from sim.step_cost import Sharing


class Sample(NamedTuple):
    """One measured step, or the median of several with the same calls.

    Parameters
    ----------
    point : str
        The load it belongs to; a fit holds out whole points.
    kind : str
        Of the point.
    held_out : bool
    asynchronous : bool
        The engine's scheduling.
    is_first : bool
        Whether the engine was idle before.
    seconds : float
    num_steps : int
        Steps that the median is over.
    noise : float, seconds
        Standard error of the median; 0 for single steps.
    num_decodes : int
    num_context_tokens : int
        Mean over the steps.
    num_repeated_tokens, num_distinct_tokens : int
        As in `sim.step_cost.Sharing`.
    prefills : tuple of (num_new_tokens, num_computed_tokens)
    """

    point: str
    kind: str
    held_out: bool
    asynchronous: bool
    is_first: bool
    seconds: float
    num_steps: int
    noise: float
    num_decodes: int
    num_context_tokens: int
    num_repeated_tokens: int
    num_distinct_tokens: int
    prefills: tuple[tuple[int, int], ...]

    @property
    def num_tokens(self) -> int:
        return self.num_decodes + sum(new for new, _ in self.prefills)

    @property
    def sharing(self) -> Sharing:
        return Sharing(self.num_repeated_tokens, self.num_distinct_tokens)
