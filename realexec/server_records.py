"""What a server's own scheduler recorded, joined with what this client saw of its requests.

vLLM 0.24 calls a completion "cmpl-<X-Request-Id>-0". Its scheduler reads the monotonic clock of the server's host: the
client's own clock where both run on one host, another one elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from realexec.interface import EngineRecords
from realexec.recording import read_records
from traces.records import STEP_COLUMNS


@dataclass(slots=True)
class SeenRequest:
    """A request as the client saw it; instants of its `time.monotonic()`, None for what never came."""

    request_id: str
    sent_at: float
    first_token_at: float | None = None


def no_records() -> EngineRecords:
    """Of a server that records nothing, or nothing that can be read here."""
    return EngineRecords(pd.DataFrame(columns=list(STEP_COLUMNS)), {})


def read_server_records(folder: Path, engine_id: int, seen: Mapping[str, SeenRequest]) -> EngineRecords:
    """Steps and request facts of this client's run, on the client's clock.

    Parameters
    ----------
    folder : Path
        Written by `realexec.scheduler`; the server may have served earlier runs, whose steps are left out.
    engine_id : int
    seen : mapping of the server's id, "cmpl-...", to SeenRequest
    """
    recorded = read_records(folder, engine_id)
    pairs = [
        (seen[key], facts) for name, facts in recorded.requests.items() if (key := name.removesuffix("-0")) in seen
    ]
    shift = clock_shift((request, facts.scheduled_at) for request, facts in pairs)
    requests = {request.request_id: replace(facts, scheduled_at=facts.scheduled_at + shift) for request, facts in pairs}
    steps = recorded.steps.assign(
        started_at=recorded.steps["started_at"] + shift, finished_at=recorded.steps["finished_at"] + shift
    )
    first_sent_at = min(request.sent_at for request in seen.values())
    return EngineRecords(steps[steps["started_at"] >= first_sent_at].reset_index(drop=True), requests)


def clock_shift(pairs: Iterable[tuple[SeenRequest, float]]) -> float:
    """Seconds to add to the server's clock to get the client's.

    Parameters
    ----------
    pairs : iterable of (SeenRequest, instant at which the server first scheduled it)

    Notes
    -----
    A request is sent before it is scheduled, and scheduled before its first token is seen, which bounds the shift from
    below and above. Clocks for which 0 is within the bounds are taken as one. Otherwise the lower bound is taken: as if
    the quickest request had taken no time from the client to its first step, so instants are early by that time, some
    milliseconds.
    """
    lowest, highest = float("-inf"), float("inf")
    for request, scheduled_at in pairs:
        lowest = max(lowest, request.sent_at - scheduled_at)
        if request.first_token_at is not None:
            highest = min(highest, request.first_token_at - scheduled_at)
    return 0.0 if lowest <= 0.0 <= highest or lowest == float("-inf") else lowest
