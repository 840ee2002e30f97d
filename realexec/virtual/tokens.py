"""Output tokens of the virtual device: arbitrary, repeatable, and different for every request."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from realexec.step_load import client_id

_MASK = (1 << 64) - 1


class TokenStreams:
    """An endless stream of token ids for every request.

    Parameters
    ----------
    vocab_size : int
        Ids lie below it.

    Notes
    -----
    A 64-bit linear congruential generator with Knuth's MMIX constants (The Art of Computer Programming, vol. 2, 3.3.4,
    table 1), whose upper bits give the id. Its state starts from a hash of the request's id as its client gave it.
    Equal outputs in two requests would hit the prefix cache where real text does not.
    """

    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self._states: dict[str, int] = {}

    def next(self, request_id: str) -> int:
        """The request's next token id."""
        state = self._states.get(request_id)
        if state is None:
            state = int.from_bytes(blake2b(client_id(request_id).encode(), digest_size=8).digest(), "little")
        state = (state * 6364136223846793005 + 1442695040888963407) & _MASK
        self._states[request_id] = state
        return (state >> 32) % self._vocab_size

    def forget(self, request_ids: Iterable[str]) -> None:
        """Drop finished requests."""
        for request_id in request_ids:
            self._states.pop(request_id, None)
