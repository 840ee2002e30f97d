"""A point of a calibration: a few calls, and what limits them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["decode", "prefill", "sharing", "idle", "client"]

#: Tokens of one prompt: (name of the text, tokens); equal leading names and counts are equal text.
Prompt = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call of a point."""

    prompt: Prompt
    num_output_tokens: int

    @property
    def num_prompt_tokens(self) -> int:
        return sum(tokens for _, tokens in self.prompt)


Wave = tuple[PlannedCall, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """A load of its own.

    Parameters
    ----------
    name : str
        Unique in the plan.
    kind : Kind
    background : tuple of PlannedCall
        Submitted first; once each of them decodes, the waves begin.
    waves : tuple of Wave
        Calls submitted at once; the next wave follows when all of one are finished.
    held_out : bool
        Never fitted, but for its windows beside a background (`realexec.calibration.parts`).
    """

    name: str
    kind: Kind
    background: Wave
    waves: tuple[Wave, ...]
    held_out: bool = False

    @property
    def calls(self) -> list[PlannedCall]:
        """In the order in which they are submitted."""
        return [*self.background, *(call for wave in self.waves for call in wave)]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the engine that is measured, as it reported them."""

    num_blocks: int
    block_size: int
    max_num_seqs: int
    max_model_len: int
    max_num_batched_tokens: int

    @property
    def num_tokens(self) -> int:
        """KV memory that a point may fill: a tenth stays free, so that nothing is preempted."""
        return int(0.9 * (self.num_blocks - 1) * self.block_size)
