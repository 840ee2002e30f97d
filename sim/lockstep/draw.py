"""Random cases: applications of every shape, with prompts of one token up to the model's limit.

Prompts are made of a few texts that all applications share, outputs of earlier calls, and text of their own, so that
common prefixes of every length occur.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.lockstep.cases import Case
from sim.lockstep.draw_settings import between, chance, draw_settings, pick
from sim.settings import EngineSettings
from traces.workload import Application, Call, Segment, Workload, num_prompt_tokens, output_of, text

#: Most applications, by the length of the model's context: long calls take many steps.
_MOST_APPLICATIONS = ((100, 30), (500, 16), (1_000_000, 10))


def draw_case(seed: int) -> Case:
    """The case of a seed; the same for the same seed.

    Parameters
    ----------
    seed : int
        Not negative.
    """
    rng = np.random.default_rng(seed)
    settings = draw_settings(rng)
    shared = _Shared.draw(rng, settings)
    most = next(count for length, count in _MOST_APPLICATIONS if settings.max_model_len <= length)
    spread = pick(rng, [0, 0, 5, 20, 50, 400])
    applications = [
        Application(f"a{index}", float(between(rng, 0, spread)), calls)
        for index in range(between(rng, 1, most))
        if (calls := _draw_calls(rng, settings, shared, f"a{index}"))
    ]
    fallback = Application("a", 0.0, (Call("c0", (text("only", 1),), 1),))
    workload = Workload(f"case {seed}", tuple(applications) or (fallback,))
    return Case(seed, settings, workload, chance(rng, 0.5), pick(rng, [0.0, 0.5, 1.0]))


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the applications of one case have in common."""

    texts: Sequence[Segment]
    kinds: Sequence[str]
    most_priority: int

    @classmethod
    def draw(cls, rng: np.random.Generator, settings: EngineSettings) -> _Shared:
        longest = settings.max_model_len - 1
        texts = [text(f"shared-{index}", _length(rng, settings, longest)) for index in range(between(rng, 1, 5))]
        kinds = pick(rng, [["own"], ["shared"], ["chat"], ["graph"], ["own", "shared", "chat", "graph"]])
        return cls(texts, kinds, pick(rng, [0, 1, 3]))


def _length(rng: np.random.Generator, settings: EngineSettings, most: int) -> int:
    """A number of tokens, often near a multiple of the block size."""
    block = settings.block_size
    near_blocks = [1, block - 1, block, block + 1, 2 * block, 3 * block]
    anywhere = [between(rng, 1, most // part) for part in (1, 1, 2, 4)]
    return max(1, min(most, pick(rng, near_blocks + anywhere)))


def _draw_calls(rng: np.random.Generator, settings: EngineSettings, shared: _Shared, app_id: str) -> tuple[Call, ...]:
    """The calls of one application; none when nothing that was drawn fits the model."""
    kind = pick(rng, shared.kinds)
    calls: list[Call] = []
    prompt: tuple[Segment, ...] = ()
    for index in range(between(rng, 1, 6 if kind == "chat" else 4)):
        own = text(
            f"{app_id}.{index}", _length(rng, settings, max(1, settings.max_model_len // pick(rng, [1, 2, 4, 8])))
        )
        if kind == "own":
            prompt = (own,)
        elif kind == "shared":
            prompt = (pick(rng, shared.texts), *([own] if chance(rng, 0.6) else []))
        elif kind == "chat":
            first = (pick(rng, shared.texts),) if not prompt and chance(rng, 0.5) else ()
            prompt = (*prompt, *first, *[output_of(call.id) for call in calls[-1:]], own)
        else:
            prompt = _graph_prompt(rng, shared.texts, calls, own)
        call = _fitted(rng, settings, calls, prompt, shared.most_priority)
        if call is None:
            break
        prompt = call.prompt
        calls.append(call)
    return tuple(calls)


def _graph_prompt(
    rng: np.random.Generator, texts: Sequence[Segment], calls: Sequence[Call], own: Segment
) -> tuple[Segment, ...]:
    """Shared texts, outputs of earlier calls and own text, in any order."""
    parts = [pick(rng, texts) for _ in range(between(rng, 0, 3))]
    parts += [output_of(call.id) for call in calls if chance(rng, 0.4)]
    parts += [own] if not parts or chance(rng, 0.5) else []
    rng.shuffle(parts)
    return tuple(parts)


def _fitted(
    rng: np.random.Generator,
    settings: EngineSettings,
    calls: Sequence[Call],
    prompt: tuple[Segment, ...],
    most_priority: int,
) -> Call | None:
    """A call with as much of a prompt as leaves room for an output; None when there is none."""
    outputs = {call.id: call.output_tokens for call in calls}
    while prompt and num_prompt_tokens(Call("", prompt, 1), outputs) >= settings.max_model_len:
        prompt = prompt[:-1]
    if not prompt:
        return None
    room = settings.max_model_len - num_prompt_tokens(Call("", prompt, 1), outputs)
    limit = pick(rng, [1, 2, settings.block_size + 1, room, room, max(1, room // 2), max(1, room // 6)])
    return Call(
        id=f"c{len(calls)}",
        prompt=prompt,
        output_tokens=min(room, pick(rng, [limit, between(rng, 1, limit)])),
        deps=tuple(sorted({part.output_of for part in prompt if part.output_of is not None})),
        delay=float(pick(rng, [0, 0, 0, between(rng, 0, 10)])),
        priority=between(rng, -most_priority, most_priority),
    )
