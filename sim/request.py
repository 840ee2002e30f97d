"""One submitted call inside an engine."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.kv_cache import Extent
    from traces.prefix import PrefixPath


class State(IntEnum):
    """Where a request is. LAST means its last token is scheduled but not computed yet (async scheduling)."""

    WAITING = 0
    PREFILL = 1
    DECODE = 2
    LAST = 3
    FINISHED = 4


class Request:
    """A call as the scheduler and the KV cache know it.

    Parameters
    ----------
    call : object
        What the owner of the engine wants back; the engine does not look at it.
    num_prompt_tokens, num_output_tokens : int
    path : tuple of PrefixNode
        Shared leading stretches of the content (`traces.prefix`).
    priority : sortable
        Lower first; only looked at under the "priority" scheduling policy.

    Notes
    -----
    A decoding request stores no counter of its own: `offset + tick` is its computed tokens and `end_tick` the tick of
    its last token, where `tick` is the scheduler's count of decode steps. That makes a decode step O(1).
    """

    __slots__ = (
        "admission",
        "arrived_at",
        "call",
        "end_tick",
        "first_token_at",
        "held",
        "left_out_at",
        "num_cached_tokens",
        "num_computed",
        "num_hashed",
        "num_known",
        "num_output_tokens",
        "num_preemptions",
        "num_prompt_tokens",
        "num_tokens",
        "offset",
        "path",
        "priority",
        "scheduled_at",
        "sequence",
        "state",
    )

    def __init__(
        self, call: Any, num_prompt_tokens: int, num_output_tokens: int, path: PrefixPath, priority: Any
    ) -> None:
        self.call = call
        self.num_prompt_tokens = num_prompt_tokens
        self.num_output_tokens = num_output_tokens
        self.num_tokens = num_prompt_tokens + num_output_tokens
        self.path = path
        self.priority = priority
        self.arrived_at = 0.0
        self.sequence = 0  # order of arrival at this engine
        self.admission = 0  # order of admission, new after each preemption
        self.state = State.WAITING
        self.num_known = num_prompt_tokens  # tokens whose ids exist: prompt and, after a preemption, outputs
        self.num_computed = 0  # while waiting or prefilling
        self.num_hashed = 0  # leading blocks that are in the prefix cache's index
        self.held: list[tuple[Extent, int]] = []  # shared extents, with the end of what is held of each
        self.offset = 0
        self.end_tick = 0
        self.left_out_at = -3  # last step that passed over it while it was decoding, for want of budget
        self.num_cached_tokens = -1  # set when scheduled, until its first token
        self.num_preemptions = 0
        self.scheduled_at = -1.0
        self.first_token_at = -1.0
