"""How much longer steps full of prefills take once a card has run them for so long that it lowers its clocks.

From 0.75 s of such steps in a row on, H100s and H200s take some percent longer for them, in waves of about a second
that are not modelled (docs/calibration.md): presumably they keep within their power. Decode steps, which wait for
memory, do not.
"""

from __future__ import annotations

#: Seconds of prefills in a row that a card runs at full clocks; read off the long rows of five calibrations on H100s
#: and H200s (`sim/profiles/*.points`), which agree.
FULL_CLOCKS = 0.75

#: Tokens of a step that keeps the card at its limit. Rows of 1800 and more were measured; half of that is assumed.
_FULL_STEP = 1024

#: Seconds between two such steps after which the card has rested: less than any other step takes.
_REST = 0.002


class SustainedPrefill:
    """Tells steps in a row of prefills that has lasted.

    Parameters
    ----------
    slowdown : float
        Share by which they take longer.
    """

    __slots__ = ("_since", "_slowdown", "_until")

    def __init__(self, slowdown: float) -> None:
        self._slowdown = slowdown
        self._since = 0.0
        self._until = -1.0

    def stretched(self, start: float, duration: float, num_tokens: int) -> float:
        """What a step takes that begins then, in seconds; steps are asked about once each, in order.

        Parameters
        ----------
        start : float, seconds
        duration : float, seconds
            At full clocks.
        num_tokens : int
        """
        if num_tokens < _FULL_STEP or not self._slowdown:
            return duration
        if start > self._until + _REST:
            self._since = start
        if start + duration > self._since + FULL_CLOCKS:
            duration *= 1.0 + self._slowdown
        self._until = start + duration
        return duration
