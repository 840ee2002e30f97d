"""The workload model: applications are directed acyclic graphs of LLM calls, prompts are lists of segments.

The shape of these types is the file format itself (`traces.files` reads and writes it). Counts are tokens, times are
seconds from the start of the run. What a valid workload is beyond these shapes stands in `traces.validation`.
"""

from __future__ import annotations

import msgspec


class Segment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One stretch of a prompt: either named text of a known length, or the output of an earlier call.

    Parameters
    ----------
    segment : str, optional
        Name of the text. The same name and token count is the same token ids everywhere in the workload.
    tokens : int, optional
        Length of the named text, in tokens; required with `segment`, at least 1.
    output_of : str, optional
        Id of a call of the same application whose output tokens stand here; excludes the other two.
    """

    segment: str | None = None
    tokens: int | None = None
    output_of: str | None = None


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One LLM request of an application.

    Parameters
    ----------
    id : str
        Unique within the application.
    prompt : tuple of Segment
    output_tokens : int
        Tokens this call generates; at least 1. Known to the backend only, policies see it under `oracle`.
    stage : str
        Name of the role of this call (map, reduce, turn, ...), the key of per-stage bounds and metrics.
    deps : tuple of str
        Calls of the same application that must have finished before this one is ready.
    delay : float, seconds
        Think or tool time between the last dependency's finish (or the arrival) and the submission.
    predicted_output_tokens : int, optional
        What a deployed predictor would have said; policies may see it.
    deadline : float, optional, seconds after the application's arrival
    priority : int
        Lower is more urgent, as in vLLM.
    """

    id: str
    prompt: tuple[Segment, ...]
    output_tokens: int
    stage: str = "call"
    deps: tuple[str, ...] = ()
    delay: float = 0.0
    predicted_output_tokens: int | None = None
    deadline: float | None = None
    priority: int = 0


class Application(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A program that issues calls.

    Parameters
    ----------
    id : str
        Unique within the workload.
    arrival : float, seconds from the start of the run
    calls : tuple of Call
        At least one; dependencies form no cycle.
    """

    id: str
    arrival: float
    calls: tuple[Call, ...]


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything one run executes.

    Parameters
    ----------
    name : str
    applications : tuple of Application
        At least one, in any order; `traces.files.load_workload` keeps the order of the file.
    """

    name: str
    applications: tuple[Application, ...]


def text(name: str, tokens: int) -> Segment:
    """Segment of `tokens` tokens of the text called `name`."""
    return Segment(segment=name, tokens=tokens)


def output_of(call_id: str) -> Segment:
    """Segment that stands for the output of another call of the same application."""
    return Segment(output_of=call_id)


def num_prompt_tokens(call: Call, output_tokens: dict[str, int]) -> int:
    """Prompt length of `call` in tokens.

    Parameters
    ----------
    call : Call
    output_tokens : dict of call id to int
        Output lengths of the calls of the same application.
    """
    return sum(part.tokens if part.tokens is not None else output_tokens[part.output_of or ""] for part in call.prompt)


def num_calls(workload: Workload) -> int:
    """Calls in the whole workload."""
    return sum(len(application.calls) for application in workload.applications)
