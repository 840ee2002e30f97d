"""When the steps of an engine run: stretches of steps with closed-form boundaries.

A stretch is one step with prefills, or any number of steps in which the same requests decode. Step `i` of a decode
stretch takes `duration + i * growth` seconds, so its boundaries are a quadratic in `i` and the step during which an
arrival falls is the root of one. Whether a stretch is entered step by step or all at once, its boundaries are computed
from the same anchor by the same expression, so skipping changes no bit of any record.
"""

from __future__ import annotations

from math import sqrt

MIXED = -1  # `decode_set` of a stretch that no further step continues

#: (num_decodes, num_context_tokens, num_prefills, num_prefill_tokens, num_running, num_free_blocks, num_preempted) of
#: the first step, as in `traces.records.STEP_COLUMNS`.
Details = tuple[int, int, int, int, int, int, int]

NOTHING: Details = (0, 0, 0, 0, 0, 0, 0)


class Stretch:
    """Steps from `first_step` on, beginning at the instant `start`; `count` of them are planned."""

    __slots__ = ("count", "decode_set", "details", "duration", "finished_at", "first_step", "growth", "start")

    def __init__(
        self, first_step: int, start: float, duration: float, growth: float, decode_set: int, details: Details
    ) -> None:
        self.first_step = first_step
        self.start = start
        self.duration = duration
        self.growth = growth
        self.decode_set = decode_set
        self.details = details
        self.count = 0
        self.finished_at = start

    def extend(self, num_steps: int) -> float:
        """Plan `num_steps` more; returns the end of the last of them, now `finished_at`."""
        self.count = count = self.count + num_steps
        self.finished_at = at = self.start + count * self.duration + self.growth * (count * (count - 1) // 2)
        return at

    def end(self, num_steps: int) -> float:
        """Instant at which the first `num_steps` steps are done."""
        return self.start + num_steps * self.duration + self.growth * (num_steps * (num_steps - 1) // 2)

    def steps_ending_after(self, instant: float) -> int:
        """Fewest steps, at least one, whose end lies after `instant`."""
        gap, duration, growth = instant - self.start, self.duration, self.growth
        if gap < duration or duration <= 0.0:
            num_steps = 1
        elif growth > 0.0:
            linear = duration - 0.5 * growth
            num_steps = int((sqrt(linear * linear + 2.0 * growth * gap) - linear) / growth) or 1
        else:
            num_steps = int(gap / duration)
        while num_steps > 1 and self.end(num_steps - 1) > instant:  # the root is only good to rounding
            num_steps -= 1
        while self.end(num_steps) <= instant:
            num_steps += 1
        return num_steps
