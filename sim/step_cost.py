"""How long an engine step takes: the seam between scheduling and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class StepCost(Protocol):
    """Duration of engine steps, in seconds.

    For a fixed set of decoding calls the duration must be affine in their total context: that is what lets an engine
    skip over equal steps in closed form.
    """

    def step(self, num_decodes: int, num_context_tokens: int, prefills: Sequence[tuple[int, int]]) -> float:
        """Duration of one step.

        Parameters
        ----------
        num_decodes : int
            Calls that decode one token.
        num_context_tokens : int
            Tokens those calls attend to in this step, summed.
        prefills : sequence of (num_new_tokens, num_computed_tokens)
            Prefill chunks in the same step: tokens computed now, tokens computed before (or cached).
        """

    def decode_run(self, num_decodes: int, num_context_tokens: int) -> tuple[float, float]:
        """Duration of a pure decode step, and what each further step over the same calls takes longer.

        The first value equals `step(num_decodes, num_context_tokens, ())`. The context grows by `num_decodes` a step.
        """
