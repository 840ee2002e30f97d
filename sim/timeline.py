"""When the steps of an engine run: stretches of steps with closed-form boundaries.

A stretch is one step with prefills, or any number of steps in which the same requests decode. Step `i` of a decode
stretch takes `first + i * growth` seconds, so its boundaries are a quadratic in `i` and the step during which an
arrival falls is the root of one. Whether a stretch is entered step by step or all at once, its boundaries are computed
from the same anchor by the same expression, so skipping changes no bit of any record.
"""

from __future__ import annotations

from collections import deque
from math import sqrt

MIXED = -1  # `decode_set` of a stretch with prefills, which no further step continues


class Stretch:
    """Steps `first_step` to `first_step + count - 1`, from the instant `start` on."""

    __slots__ = ("count", "decode_set", "details", "duration", "first_step", "growth", "start")

    def __init__(self, first_step: int, start: float, duration: float, growth: float, decode_set: int) -> None:
        self.first_step = first_step
        self.start = start
        self.duration = duration
        self.growth = growth
        self.decode_set = decode_set
        self.count = 0
        self.details: tuple[int, ...] = ()

    def end(self, num_steps: int) -> float:
        """Instant at which the first `num_steps` steps are done."""
        return self.start + num_steps * self.duration + self.growth * (num_steps * (num_steps - 1) // 2)

    def steps_ending_after(self, instant: float) -> int:
        """Fewest steps, at least one, whose end lies after `instant`."""
        gap = instant - self.start
        if gap < 0.0 or self.duration <= 0.0:
            return 1
        if self.growth > 0.0:
            linear = self.duration - 0.5 * self.growth
            num_steps = int((sqrt(linear * linear + 2.0 * self.growth * gap) - linear) / self.growth)
        else:
            num_steps = int(gap / self.duration)
        num_steps = max(num_steps, 1)
        while num_steps > 1 and self.end(num_steps - 1) > instant:  # the root is only good to rounding
            num_steps -= 1
        while self.end(num_steps) <= instant:
            num_steps += 1
        return num_steps


class Timeline:
    """Stretches of an engine that are not past yet."""

    def __init__(self) -> None:
        self._stretches: deque[Stretch] = deque()
        self.end = 0.0  # of the last planned step

    def last(self) -> Stretch | None:
        """The stretch planned last."""
        return self._stretches[-1] if self._stretches else None

    def append(self, stretch: Stretch) -> None:
        """Begin a new stretch; `extend` gives it steps."""
        self._stretches.append(stretch)

    def extend(self, stretch: Stretch, num_steps: int) -> float:
        """Add steps to the last stretch; returns its new end."""
        stretch.count += num_steps
        self.end = stretch.end(stretch.count)
        return self.end

    def end_of(self, step: int) -> float:
        """End of a planned step that is not past."""
        for stretch in reversed(self._stretches):
            if stretch.first_step <= step:
                return stretch.end(step - stretch.first_step + 1)
        raise ValueError(f"step={step} is past")

    def drop_before(self, step: int) -> list[Stretch]:
        """Remove the stretches that end before `step` and return them; the last one stays, it may grow."""
        past = []
        while len(self._stretches) > 1 and self._stretches[0].first_step + self._stretches[0].count <= step:
            past.append(self._stretches.popleft())
        return past

    def clear(self) -> list[Stretch]:
        """Remove everything: the engine is idle."""
        past = list(self._stretches)
        self._stretches.clear()
        return past
