"""What a policy may see and what it decides.

A policy is pure, synchronous and deterministic. It has three decisions: `rank` orders the ready calls, `route` sends
one to an engine or holds it, `observe` lets it learn. It gets read-only windows on live state, valid only during the
call that hands them over: the coordinator does not copy them, so a policy that wants to remember a value keeps the
value.

Everything a deployed gateway could not know lives under `CallView.oracle`, so a reader sees which policies cheat.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

EngineId = int

#: Returned by `Policy.route` to leave a call in the ready queue; it is asked again whenever something changes.
HOLD = None


class PolicyError(ValueError):
    """A policy broke its contract: it named an engine that does not exist or may not take the call."""


class BackendError(RuntimeError):
    """A backend reported the impossible, such as the end of a call that was never dispatched."""


class OracleView(Protocol):
    """What only a simulation or a replay knows."""

    @property
    def num_output_tokens(self) -> int:
        """Tokens this call will generate."""

    @property
    def remaining_work_tokens(self) -> int:
        """Prompt and output tokens of this call and of everything that depends on it."""

    def remaining_path(self, output_weight: float) -> float:
        """Heaviest chain from this call to a sink, itself included; an output token counts `output_weight` tokens."""

    def remaining_application(self, output_weight: float) -> float:
        """All unfinished calls of the application; an output token counts `output_weight` prompt tokens."""


class CallView(Protocol):
    """One call as a gateway that was given the application's graph sees it."""

    @property
    def app_id(self) -> str: ...
    @property
    def call_id(self) -> str: ...
    @property
    def stage(self) -> str: ...
    @property
    def app_arrived_at(self) -> float: ...
    @property
    def ready_at(self) -> float: ...
    @property
    def submitted_at(self) -> float: ...
    @property
    def priority(self) -> int: ...
    @property
    def deadline_at(self) -> float | None:
        """Instant by which the call should finish, or None."""

    @property
    def earliest_deadline_at(self) -> float | None:
        """Earliest deadline of this call and of everything that depends on it, or None."""

    @property
    def depth(self) -> int:
        """Longest chain of dependencies above this call; 0 for a root."""

    @property
    def num_prompt_tokens(self) -> int: ...
    @property
    def predicted_output_tokens(self) -> int | None:
        """The workload's prediction; None when it has none."""

    @property
    def num_siblings_outstanding(self) -> int:
        """Unfinished calls of the same application and stage, without this one."""

    @property
    def group(self) -> tuple[str, ...]:
        """Ids of the calls, this one included, that the same calls directly depend on: only the last to end matters.

        A call that nothing depends on is alone.
        """

    @property
    def num_descendants(self) -> int:
        """Calls that depend on this one, directly or not."""

    @property
    def critical_path_calls(self) -> int:
        """Calls on the longest chain from this one to a sink of the graph, itself included."""

    @property
    def prompt_segments(self) -> tuple[tuple[str, int], ...]:
        """Prompt as (content name, tokens); equal leading entries are equal leading tokens."""

    @property
    def oracle(self) -> OracleView: ...


class EngineView(Protocol):
    """One engine as the gateway sees it, as of `observed_at`."""

    @property
    def engine_id(self) -> EngineId: ...
    @property
    def observed_at(self) -> float: ...
    @property
    def window(self) -> int:
        """Most calls the coordinator may keep here; 0 = no limit."""

    @property
    def num_unfinished(self) -> int:
        """Calls dispatched here and not finished."""

    @property
    def num_unfinished_tokens(self) -> int:
        """Prompt tokens of those calls."""

    @property
    def max_num_seqs(self) -> int: ...
    @property
    def num_blocks(self) -> int:
        """KV blocks of the engine."""

    @property
    def block_size(self) -> int:
        """Tokens in a KV block."""

    @property
    def is_open(self) -> bool:
        """Whether the window has room for one more call."""

    def num_unfinished_of(self, stage: str) -> int:
        """Unfinished calls of one stage dispatched here."""

    def num_believed_cached_tokens(self, call: CallView) -> int:
        """Leading prompt tokens of `call` that the gateway believes are in this engine's prefix cache."""


class EventKind(Enum):
    """What `Policy.observe` is told about."""

    APPLICATION_ARRIVED = "application_arrived"
    CALL_SUBMITTED = "call_submitted"
    CALL_DISPATCHED = "call_dispatched"
    FIRST_TOKEN = "first_token"
    CALL_FINISHED = "call_finished"
    CALL_FAILED = "call_failed"
    ENGINE_LOST = "engine_lost"  # followed by one CALL_RETURNED or CALL_FAILED for each of its calls
    CALL_RETURNED = "call_returned"  # in the ready queue again


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, told to policies that override `observe`.

    Parameters
    ----------
    kind : EventKind
    at : float, seconds
    app_id : str
        Empty for the loss of an engine.
    call : CallView or None
        None for the arrival of an application and the loss of an engine.
    engine_id : int or None
        The engine concerned, where there is one.
    num_output_tokens : int or None
        What a call generated; nobody knows before it has finished.
    """

    kind: EventKind
    at: float
    app_id: str
    call: CallView | None
    engine_id: EngineId | None
    num_output_tokens: int | None = None


class Policy:
    """First come, first served to the least loaded engine: what every method does unless overridden.

    A subclass overrides what it needs. Its constructor parameters are its parameters on the command line.
    """

    #: Whether `rank` changes while a call waits; it is then asked again before every round of decisions.
    reranks = False

    #: Whether it may look at `CallView.oracle`, which no deployed gateway has; `dovetail policies` shows it.
    uses_oracle = False

    def rank(self, call: CallView, now: float) -> Any:
        """Sort key of a ready call, lower first; ties go to the earliest submitted.

        Asked once, when the call is submitted, unless `reranks`. The same key orders an engine's waiting queue where
        that is scheduled by priority.
        """
        return call.priority

    def hold_class(self, call: CallView) -> Hashable | None:
        """Calls of one class are held together: when one is, the others are not asked about in the same round.

        None asks about every call. A policy that holds many calls for one reason should name that reason here.
        """
        return None

    def route(self, call: CallView, engines: Sequence[EngineView], now: float) -> EngineId | None:
        """Engine for the call, or `HOLD`.

        `engines` is ordered by id and is never empty. An engine that is lost is not in it any more, so an id is not
        always an index.
        """
        return least_loaded(engines)

    def observe(self, event: Event) -> None:
        """Learn from something that happened. Only called where a subclass overrides it."""


def least_loaded(engines: Sequence[EngineView]) -> EngineId | None:
    """Open engine with the fewest unfinished calls, the lowest id among equals; `HOLD` when none is open."""
    best = None
    fewest = -1
    for engine in engines:
        if engine.is_open and (best is None or engine.num_unfinished < fewest):
            best, fewest = engine.engine_id, engine.num_unfinished
    return best
