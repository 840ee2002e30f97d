"""What the driver notes while calls run: one attempt per dispatch, and the faults of the run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from realexec.interface import Completion

if TYPE_CHECKING:
    import asyncio

    from policies.calls import CallState


@dataclass(slots=True, eq=False)
class Attempt:
    """One dispatch of a call. Instants are seconds from the start of the run, None while not reached."""

    call: CallState
    engine_id: int
    number: int
    dispatched_at: float
    first_token_at: float | None = None
    finished_at: float | None = None
    completion: Completion | None = None
    task: asyncio.Task[None] | None = None

    @property
    def request_id(self) -> str:
        """Unique in the run: the call's position in the workload and the number of the attempt."""
        return f"call-{self.call.index}-attempt-{self.number}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that went wrong, for the manifest.

    Parameters
    ----------
    at : float, seconds from the start of the run
    kind : str
        "engine lost", "call failed" (by itself, not with its engine) or "run stopped".
    reason : str
    engine : int, optional
    app, call : str, optional
    num_moved : int, optional
        Calls of a lost engine that went back to the ready queue; the others failed with it.
    """

    at: float
    kind: Literal["engine lost", "call failed", "run stopped"]
    reason: str
    engine: int | None = None
    app: str | None = None
    call: str | None = None
    num_moved: int | None = None


@dataclass(frozen=True, slots=True)
class FaultHandling:
    """What to do when engines or calls fail, and how long to wait for them.

    Parameters
    ----------
    on_engine_failure : "retry" or "fail"
        What becomes of calls that had shown their first token when their engine was lost. Calls that had not always go
        to another engine.
    max_attempts : int
        Most engines a call may be lost with before it fails, so that a call that kills engines does not kill all.
    call_time_limit, run_time_limit : float, optional, seconds
        Of one attempt, from its dispatch; of the whole run.
    stall_timeout : float, optional, seconds
        An engine with calls in flight that shows no progress for so long is taken for lost.

    Raises
    ------
    ValueError
        When a value is out of range; the message names it.
    """

    on_engine_failure: Literal["retry", "fail"] = "retry"
    max_attempts: int = 3
    call_time_limit: float | None = None
    run_time_limit: float | None = None
    stall_timeout: float | None = 60.0

    def __post_init__(self) -> None:
        if self.on_engine_failure not in ("retry", "fail"):
            raise ValueError(f"on_engine_failure={self.on_engine_failure!r} must be 'retry' or 'fail'")
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts={self.max_attempts} must be positive")
        for name in ("call_time_limit", "run_time_limit", "stall_timeout"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < float("inf"):
                raise ValueError(f"{name}={value} must be positive and finite, or None for no limit")


@dataclass(slots=True)
class RunNotes:
    """What the driver wrote down: the last attempt of each call by index, faults, calls finished at each engine."""

    attempts: dict[int, Attempt] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    num_finished: Counter[int] = field(default_factory=Counter)
