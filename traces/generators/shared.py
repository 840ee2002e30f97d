"""Applications that share a few long prompts: custom assistants of which many users each ask one question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from traces.generators.building import build, require_positive
from traces.wording import counted
from traces.workload import Call, Workload, text


@dataclass(frozen=True, slots=True)
class SharedPrompt:
    """One assistant.

    Parameters
    ----------
    name : str
        Becomes the stage of its calls.
    prompt_tokens : int, tokens
        The text that all its calls open with.
    query_tokens, output_tokens : int, tokens
    weight : float
        Its share of the calls, relative to the other assistants.
    """

    name: str
    prompt_tokens: int
    query_tokens: int
    output_tokens: int
    weight: float = 1.0

    def __post_init__(self) -> None:
        require_positive(
            prompt_tokens=self.prompt_tokens, query_tokens=self.query_tokens, output_tokens=self.output_tokens
        )
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight={self.weight!r} must be a finite number, at least 0 (prompt {self.name!r})")


def shared_prefix_apps(prompts: Sequence[SharedPrompt], arrivals: np.ndarray, rng: np.random.Generator) -> Workload:
    """One call an arrival, each of an assistant drawn by weight; queries are not shared.

    Raises
    ------
    ValueError
        When no prompt has a weight above 0, or two bear the same name.
    """
    weights = np.array([prompt.weight for prompt in prompts], dtype=np.float64)
    if not weights.sum() > 0:
        raise ValueError(f"prompts={[prompt.name for prompt in prompts]!r} must have a weight above 0 among them")
    if len({prompt.name for prompt in prompts}) < len(prompts):
        raise ValueError(f"prompts={[prompt.name for prompt in prompts]!r} must have names of their own")
    drawn = rng.choice(len(prompts), size=len(arrivals), p=weights / weights.sum())

    def calls(app_id: str, index: int) -> tuple[Call]:
        prompt = prompts[int(drawn[index])]
        parts = text(f"shared-{prompt.name}", prompt.prompt_tokens), text(f"{app_id}-query", prompt.query_tokens)
        return (Call("call", parts, prompt.output_tokens, stage=prompt.name),)

    return build(counted(len(prompts), "shared prompt"), "r", arrivals, calls)
