"""Chat sessions: each turn's prompt is the whole history, earlier outputs included, and a new message."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from traces.generators.building import build, require_positive
from traces.generators.lengths import LogNormal
from traces.wording import counted
from traces.workload import Call, Segment, Workload, output_of, text


@dataclass(frozen=True, slots=True)
class ChatShape:
    """What a session looks like.

    Parameters
    ----------
    num_turns : int
    message, output : LogNormal, tokens
        Lengths of the user's messages and of the answers.
    think_time : float, seconds
        Mean of the exponential pause between an answer and the next message; 0 for none.
    system_tokens : int, tokens
        System prompt that every session opens with; 0 for none.
    """

    num_turns: int
    message: LogNormal
    output: LogNormal
    think_time: float = 0.0
    system_tokens: int = 0

    def __post_init__(self) -> None:
        require_positive(num_turns=self.num_turns)
        if not 0 <= self.think_time < float("inf"):
            raise ValueError(f"think_time={self.think_time!r} must be a finite number of seconds, at least 0")
        if type(self.system_tokens) is not int or self.system_tokens < 0:
            raise ValueError(f"system_tokens={self.system_tokens!r} must be an integer of at least 0")


def chat_sessions(arrivals: np.ndarray, shape: ChatShape, rng: np.random.Generator) -> Workload:
    """One session an arrival; turn k depends on turn k-1 and repeats everything said so far.

    Parameters
    ----------
    arrivals : (num_sessions,) float array, seconds
    shape : ChatShape
    rng : numpy.random.Generator
        Draws message lengths, then output lengths, then pauses, for all sessions at once.
    """
    size = (len(arrivals), shape.num_turns)
    messages = shape.message.draw(size[0] * size[1], rng).reshape(size).tolist()
    outputs = shape.output.draw(size[0] * size[1], rng).reshape(size).tolist()
    pauses = (shape.think_time * rng.standard_exponential(size)).tolist()
    system = (text("system-prompt", shape.system_tokens),) if shape.system_tokens else ()

    def calls(app_id: str, index: int) -> list[Call]:
        turns: list[Call] = []
        history: tuple[Segment, ...] = system
        for k in range(shape.num_turns):
            history = (*history, text(f"{app_id}-message{k}", messages[index][k]))
            deps = (turns[-1].id,) if turns else ()
            pause = pauses[index][k] if turns else 0.0
            turns.append(Call(f"turn{k}", history, outputs[index][k], stage="turn", deps=deps, delay=pause))
            history = (*history, output_of(f"turn{k}"))
        return turns

    return build(f"chat of {counted(shape.num_turns, 'turn')}", "chat", arrivals, calls)
