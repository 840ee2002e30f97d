"""What travels with a request so that a policy inside the engine sees the call: strings and numbers, flat.

They go as vLLM's `SamplingParams.extra_args`, over HTTP as `vllm_xargs`, which takes nothing else; a value of None is
left out, and tuples are JSON. Everything is as of the dispatch: inside the engine `num_siblings_outstanding` no longer
counts down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

import msgspec

from policies.interface import CallView, OracleView, PolicyError


@dataclass(frozen=True, slots=True)
class CallMetadata:
    """A call as a policy inside an engine sees it: a `policies.interface.CallView` without its oracle.

    Parameters
    ----------
    run_started_at : float, seconds of `time.monotonic()`
        Start of the run on the client's host. The policy's `now` is `time.monotonic() - run_started_at`, which an
        engine on another host cannot compute.
    app_id, call_id, stage : str
    app_arrived_at, ready_at, submitted_at : float, seconds from the start of the run
    priority, depth, num_prompt_tokens, num_siblings_outstanding, num_descendants, critical_path_calls : int
    group : tuple of str
    prompt_segments : tuple of (str, int)
    predicted_output_tokens : int, optional
    deadline_at, earliest_deadline_at : float, optional, seconds from the start of the run
    """

    run_started_at: float
    app_id: str
    call_id: str
    stage: str
    app_arrived_at: float
    ready_at: float
    submitted_at: float
    priority: int
    depth: int
    num_prompt_tokens: int
    num_siblings_outstanding: int
    num_descendants: int
    critical_path_calls: int
    group: tuple[str, ...]
    prompt_segments: tuple[tuple[str, int], ...]
    predicted_output_tokens: int | None = None
    deadline_at: float | None = None
    earliest_deadline_at: float | None = None

    @property
    def oracle(self) -> OracleView:
        raise PolicyError(f"call {self.app_id}/{self.call_id}: oracle is not known to a real engine")


#: Fields that are sent as JSON, with their types.
_AS_JSON: Mapping[str, Any] = {"group": tuple[str, ...], "prompt_segments": tuple[tuple[str, int], ...]}
_COPIED = tuple(each.name for each in fields(CallMetadata) if each.name not in ("run_started_at", *_AS_JSON))
_REQUIRED = tuple(each.name for each in fields(CallMetadata) if each.default is MISSING)


def to_extra_args(call: CallView, run_started_at: float) -> dict[str, str | int | float]:
    """Metadata of a call as an engine's request carries it.

    Parameters
    ----------
    call : CallView
    run_started_at : float, seconds of `time.monotonic()`
    """
    args: dict[str, str | int | float] = {"run_started_at": run_started_at}
    for name in _COPIED:
        value = getattr(call, name)
        if value is not None:
            args[name] = value
    for name in _AS_JSON:
        args[name] = msgspec.json.encode(getattr(call, name)).decode()
    return args


def from_extra_args(args: Mapping[str, Any] | None) -> CallMetadata:
    """Read back what `to_extra_args` wrote; keys that are not of this project are ignored.

    Raises
    ------
    ValueError
        When a required key is missing, or a value is not of its type; the message names it.
    """
    given = args or {}
    for name in _REQUIRED:
        if name not in given:
            raise ValueError(f"extra_args: {name!r} is missing, so the request did not come from Dovetail's driver")
    values = {each.name: given[each.name] for each in fields(CallMetadata) if each.name in given}
    try:
        for name in _AS_JSON:
            values[name] = msgspec.json.decode(values[name])
        return msgspec.convert(values, CallMetadata)
    except (msgspec.MsgspecError, TypeError) as error:
        raise ValueError(f"extra_args: {error}") from None
