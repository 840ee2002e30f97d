"""What a calibration runs: small loads that together produce every kind of step a scheduler makes.

A point is a few calls whose steps cover one corner: a decode batch that shrinks over a staircase of sizes, prefills
beside decoding calls, calls that share a cached prefix, calls into an idle engine. Points are run whole and in random
order; some, drawn at random, are never fitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

Kind = Literal["decode", "prefill", "sharing", "idle", "client"]

#: Tokens of one prompt: (name of the text, tokens); equal leading names and counts are equal text.
Prompt = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call of a point."""

    prompt: Prompt
    num_output_tokens: int

    @property
    def num_prompt_tokens(self) -> int:
        return sum(tokens for _, tokens in self.prompt)


Wave = tuple[PlannedCall, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """A load of its own.

    Parameters
    ----------
    name : str
        Unique in the plan.
    kind : Kind
    background : tuple of PlannedCall
        Submitted first; once each of them decodes, the waves begin.
    waves : tuple of Wave
        Calls submitted at once; the next wave follows when all of one are finished.
    held_out : bool
        Never fitted.
    """

    name: str
    kind: Kind
    background: Wave
    waves: tuple[Wave, ...]
    held_out: bool = False

    @property
    def calls(self) -> list[PlannedCall]:
        """In the order in which they are submitted."""
        return [*self.background, *(call for wave in self.waves for call in wave)]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the engine that is measured, as it reported them."""

    num_blocks: int
    block_size: int
    max_num_seqs: int
    max_model_len: int
    max_num_batched_tokens: int

    @property
    def num_tokens(self) -> int:
        """KV memory that a point may fill: a tenth stays free, so that nothing is preempted."""
        return int(0.9 * (self.num_blocks - 1) * self.block_size)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    Parameters
    ----------
    contexts : tuple of int
        Prompts of the decode staircases.
    staircases : tuple of tuple of int
        Batch sizes, descending; the second one between CUDA-graph sizes.
    num_hold_steps : int
        Steps at each batch size.
    backgrounds : tuple of (calls, prompt tokens)
        What decodes beside prefills.
    chunks : tuple of int
        New tokens of prefills.
    cached : tuple of int
        Tokens computed before a chunk.
    shared : tuple of (shared tokens, own tokens, groups)
    num_idle, num_repeats : int
        Calls into an idle engine of each length; repeats of prefill points.
    """

    contexts: tuple[int, ...] = (16, 128, 512, 1024, 2048, 3800)
    staircases: tuple[tuple[int, ...], ...] = (
        (256, 192, 160, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1),
        (250, 201, 145, 113, 81, 57, 41, 29, 19, 13, 10, 9, 7, 5, 3, 1),
    )
    num_hold_steps: int = 16
    backgrounds: tuple[tuple[int, int], ...] = ((1, 64), (8, 512), (24, 2000), (32, 256), (64, 256), (128, 128))
    chunks: tuple[int, ...] = (8, 32, 64, 100, 128, 200, 256, 384, 512, 700, 1024, 1500, 1900, 3500)
    cached: tuple[int, ...] = (512, 1024, 2048, 3072)
    shared: tuple[tuple[int, int, int], ...] = (
        *((tokens, own, 1) for tokens in (256, 512, 1024, 2048, 3584) for own in (16, 128, 400)),
        *((tokens, 64, groups) for tokens in (512, 1536) for groups in (2, 4)),
    )
    num_idle: int = 12
    num_repeats: int = 3


FULL = Extent()

#: With synchronous scheduling only the host time between steps differs.
SYNCHRONOUS = Extent(
    contexts=(128, 1024), backgrounds=((8, 512),), cached=(1024,), shared=((512, 64, 1),), num_idle=4, num_repeats=1
)

#: Enough to see that the machinery works.
SMALL = Extent(
    contexts=(64, 600),
    staircases=((32, 16, 8, 4, 2, 1), (21, 11, 5, 3, 1)),
    num_hold_steps=8,
    backgrounds=((1, 64), (8, 512)),
    chunks=(16, 128, 256, 512, 1024, 1800, 3500),
    cached=(1024,),
    shared=((256, 32, 1), (512, 64, 1), (1024, 32, 1), (1024, 64, 2), (2048, 64, 1)),
    num_idle=3,
    num_repeats=1,
)

_SHARE_HELD_OUT = 0.2
_MAX_CONTEXT_TOKENS = 300_000  # read in one step of a sharing point: more would take a tenth of a second each


def plan(limits: Limits, extent: Extent, *, seed: int = 0) -> list[Point]:
    """Points in the order to run them.

    Parameters
    ----------
    limits : Limits
    extent : Extent
    seed : int
        Of the order and of what is held out. The texts depend on the names of the points alone.
    """
    points = [
        *_decode_points(limits, extent),
        *_prefill_points(limits, extent),
        *_sharing_points(limits, extent),
        *_idle_points(limits, extent),
    ]
    rng = np.random.default_rng(seed)
    held_out = _draw_held_out(points, rng)
    order = rng.permutation(len(points))
    return [
        Point(point.name, point.kind, point.background, point.waves, point.name in held_out)
        for point in (points[index] for index in order)
    ]


def warm_up(limits: Limits) -> Point:
    """A load that is thrown away: first launches and allocations of most sizes happen in it."""
    num_tokens = min(limits.max_num_batched_tokens, limits.max_model_len) - 32
    batch = _staircase("warm-up", (64, 33, 16, 7, 2), 100, 6, limits)
    long = tuple((PlannedCall(((f"warm-up long {index}", num_tokens),), 4),) for index in range(3))
    return Point("warm-up", "client", (), (batch, *long))


def _draw_held_out(points: Sequence[Point], rng: np.random.Generator) -> set[str]:
    """Names of a fifth of each kind that a fit uses."""
    held_out: set[str] = set()
    for kind in ("decode", "prefill", "sharing"):
        names = [point.name for point in points if point.kind == kind]
        if len(names) > 1:
            held_out |= set(rng.choice(names, max(1, round(_SHARE_HELD_OUT * len(names))), replace=False).tolist())
    return held_out


def _decode_points(limits: Limits, extent: Extent) -> Iterator[Point]:
    longest = limits.max_model_len - _longest_output(extent)
    for context in sorted({min(context, longest) for context in extent.contexts}):
        for index, sizes in enumerate(extent.staircases):
            name = f"decode context {context} staircase {index}"
            yield Point(name, "decode", (), (_staircase(name, sizes, context, extent.num_hold_steps, limits),))


def _prefill_points(limits: Limits, extent: Extent) -> Iterator[Point]:
    rng = np.random.default_rng(len(extent.chunks))
    for num_calls, context in extent.backgrounds:
        for repeat in range(extent.num_repeats):
            name = f"prefill beside {num_calls} of {context}, {repeat}"
            waves = [*_single_prefills(name, limits, extent), *_bursts(name)]
            waves = [waves[index] for index in rng.permutation(len(waves))]
            warmers = tuple((PlannedCall(((f"{name} cached {n}", n),), 1),) for n in _cached(limits, extent))
            background = _background(name, num_calls, context, num_waves=len(waves) + len(warmers), limits=limits)
            if background:
                yield Point(name, "prefill", background, (*warmers, *waves))


def _cached(limits: Limits, extent: Extent) -> list[int]:
    return [tokens for tokens in extent.cached if tokens + 600 < limits.max_model_len]


def _single_prefills(name: str, limits: Limits, extent: Extent) -> Iterator[Wave]:
    """One prompt of every length, and chunks on what is cached."""
    for chunk in extent.chunks:
        if chunk + 8 < limits.max_model_len:
            yield (PlannedCall(((f"{name} chunk {chunk}", chunk),), 1),)
    for tokens in _cached(limits, extent):
        for chunk in (32, 128, 512):
            yield (PlannedCall(((f"{name} cached {tokens}", tokens), (f"{name} on {tokens}", chunk)), 1),)


def _bursts(name: str) -> Iterator[Wave]:
    """Several prompts in one step."""
    for num_calls, tokens in ((2, 300), (4, 128), (8, 64), (16, 32), (3, 600)):
        yield tuple(PlannedCall(((f"{name} burst {tokens} {index}", tokens),), 1) for index in range(num_calls))


def _background(name: str, num_calls: int, context: int, *, num_waves: int, limits: Limits) -> Wave:
    """Calls that decode for as long as the waves are likely to take; when they end early, nothing breaks."""
    num_outputs = min(6 * num_waves, limits.max_model_len - context - 8)
    num_calls = min(num_calls, limits.max_num_seqs - 20, limits.num_tokens // 2 // (context + num_outputs))
    return tuple(
        PlannedCall(((f"{name} background {index}", context),), num_outputs + _lead(index, num_calls, context, limits))
        for index in range(num_calls)
    )


def _sharing_points(limits: Limits, extent: Extent) -> Iterator[Point]:
    for shared, own, groups in extent.shared:
        shared = shared // limits.block_size * limits.block_size
        if shared + own + _longest_output(extent) > limits.max_model_len:
            continue
        name = f"sharing {groups} x {shared}, own {own}"
        prefixes = [(f"{name} prefix {group}", shared) for group in range(groups)]
        sizes = [size for size in extent.staircases[0] if size <= _MAX_CONTEXT_TOKENS // (shared + own)]
        free = replace(limits, num_blocks=limits.num_blocks - groups * shared // limits.block_size)
        calls = _staircase(name, sizes, own, extent.num_hold_steps, free)
        sharing = tuple(
            PlannedCall((prefixes[index % groups], *call.prompt), call.num_output_tokens)
            for index, call in enumerate(calls)
        )
        # One token more than the prefix: the last token of a prompt is always computed.
        warmers = tuple(PlannedCall((prefix, (f"{name} warmer", 1)), 1) for prefix in prefixes)
        yield Point(name, "sharing", (), (warmers, sharing))


def _idle_points(limits: Limits, extent: Extent) -> Iterator[Point]:
    """Calls into an idle engine, one by one, two by two and many at once."""
    for tokens in (32, 300, 1000):
        name = f"idle {tokens}"
        singles = tuple((PlannedCall(((f"{name} single {index}", tokens),), 6),) for index in range(extent.num_idle))
        pairs = tuple(
            tuple(PlannedCall(((f"{name} pair {index} {each}", tokens),), 6) for each in range(2))
            for index in range(extent.num_idle)
        )
        yield Point(name, "idle", (), (*singles, *pairs))
    num_calls = min(64, limits.max_num_seqs)
    waves = tuple(
        tuple(PlannedCall(((f"burst {index} {each}", 16),), 3) for each in range(num_calls)) for index in range(3)
    )
    yield Point("burst of calls", "client", (), waves)


def _staircase(name: str, sizes: Sequence[int], context: int, num_hold_steps: int, limits: Limits) -> Wave:
    """Calls of equal prompts whose batch shrinks through `sizes`, staying `num_hold_steps` at each."""
    sizes = [size for size in sizes if size <= limits.max_num_seqs]
    while sizes and _num_staircase_tokens(sizes, context, num_hold_steps) > limits.num_tokens:
        sizes = sizes[1:]
    calls = []
    for index in range(max(sizes, default=0)):
        num_levels = sum(size > index for size in sizes)
        lead = _lead(index, max(sizes), context, limits)
        calls.append(PlannedCall(((f"{name} call {index}", context),), 1 + num_hold_steps * num_levels + lead))
    return tuple(calls)


def _num_staircase_tokens(sizes: Sequence[int], context: int, num_hold_steps: int) -> int:
    """KV memory of all calls of a staircase at their ends, a block of 16 too many for each."""
    return sizes[0] * (context + 16) + num_hold_steps * sum(sizes)


def _longest_output(extent: Extent) -> int:
    """Tokens that the last call of a staircase generates, and some more for its lead over the others."""
    return extent.num_hold_steps * len(extent.staircases[0]) + 96


def _lead(index: int, num_calls: int, context: int, limits: Limits) -> int:
    """Steps between the first token of a call and that of the last call, all submitted at once."""
    per_step = limits.max_num_batched_tokens - min(num_calls, limits.max_num_batched_tokens // 2)
    return (num_calls * context) // per_step - ((index + 1) * context) // per_step
