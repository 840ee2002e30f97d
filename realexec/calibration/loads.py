"""The loads that the points of a plan are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from realexec.calibration.point import Limits, PlannedCall, Point, Wave

_MAX_CONTEXT_TOKENS = 300_000  # read in one step: more would take a tenth of a second each, and as long to prefill

_MIXED_OWN = (16, 144)  # tokens of a call's own behind prefixes in random order

_IDLE_PROMPTS = (32, 300, 1000)
_IDLE_GROUPS = (4, 8)  # calls sent at once


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured; what exceeds an engine's limits is left out.

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
        Calls of the groups take turns.
    mixed : tuple of tuple of int
        Prefixes that calls share in random order, their own prompts of random lengths.
    num_idle, num_repeats : int
        Calls into an idle engine of each length; repeats of prefill points.
    """

    contexts: tuple[int, ...] = (16, 128, 512, 1024, 2048, 3800, 7600, 15_000, 30_000)
    staircases: tuple[tuple[int, ...], ...] = (
        (256, 192, 160, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1),
        (250, 201, 145, 113, 81, 57, 41, 29, 19, 13, 10, 9, 7, 5, 3, 1),
    )
    num_hold_steps: int = 12
    backgrounds: tuple[tuple[int, int], ...] = ((1, 64), (8, 512), (24, 2000), (32, 256), (64, 256), (128, 128))
    chunks: tuple[int, ...] = (8, 32, 64, 100, 128, 200, 256, 384, 512, 700, 1024, 1500, 1900, 3500, 7000, 14_000)
    cached: tuple[int, ...] = (512, 1024, 2048, 3072, 6144, 12_288)
    shared: tuple[tuple[int, int, int], ...] = (
        *((tokens, own, 1) for tokens in (256, 512, 1024, 2048, 3584, 7168) for own in (16, 400)),
        *((tokens, 64, groups) for tokens in (512, 1536) for groups in (2, 4)),
    )
    mixed: tuple[tuple[int, ...], ...] = (
        (1024, 256),
        (1536, 512),
        (1536, 1536),
        (2048, 1024),
        (768, 768, 768, 768),
        (2304, 1536, 768),
    )
    num_idle: int = 12
    num_repeats: int = 3


def decode_points(limits: Limits, extent: Extent) -> Iterator[Point]:
    """Staircases of decode batches, a point for every context and list of sizes."""
    limits = replace(limits, num_blocks=min(limits.num_blocks, _MAX_CONTEXT_TOKENS // limits.block_size))
    longest = limits.max_model_len - _longest_output(extent)
    for context in sorted({min(context, longest) for context in extent.contexts}):
        for index, sizes in enumerate(extent.staircases):
            name = f"decode context {context} staircase {index}"
            yield Point(name, "decode", (), (staircase(name, sizes, context, extent.num_hold_steps, limits),))


def prefill_points(limits: Limits, extent: Extent) -> Iterator[Point]:
    """Prefills of all kinds beside calls that decode."""
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


def sharing_points(limits: Limits, extent: Extent) -> Iterator[Point]:
    """Staircases of calls behind cached prefixes."""
    for shared, own, groups in extent.shared:
        name = f"sharing {groups} x {_whole_blocks(shared, limits)}, own {own}"
        yield from _sharing_point(name, (shared,) * groups, (own, own), limits, extent)
    for prefixes in extent.mixed:
        name = f"sharing {', '.join(str(_whole_blocks(tokens, limits)) for tokens in prefixes)} in random order"
        yield from _sharing_point(name, prefixes, _MIXED_OWN, limits, extent)


def _sharing_point(
    name: str, prefixes: Sequence[int], own: tuple[int, int], limits: Limits, extent: Extent
) -> Iterator[Point]:
    """None where the engine's limits do not allow it. Prefixes take turns where all calls have as much of their own."""
    prefixes = [_whole_blocks(tokens, limits) for tokens in prefixes]
    shortest, longest = own
    if max(prefixes) + longest + _longest_output(extent) > limits.max_model_len:
        return
    sizes = [size for size in extent.staircases[0] if size <= _MAX_CONTEXT_TOKENS // (max(prefixes) + longest)]
    free = replace(limits, num_blocks=limits.num_blocks - sum(prefixes) // limits.block_size)
    calls = staircase(name, sizes, longest, extent.num_hold_steps, free)
    rng = np.random.default_rng([*prefixes, shortest])
    order, owns = np.arange(len(calls)) % len(prefixes), np.full(len(calls), longest)
    if shortest < longest:
        order, owns = rng.integers(len(prefixes), size=len(calls)), rng.integers(shortest, longest + 1, len(calls))
    texts = [(f"{name} prefix {index}", tokens) for index, tokens in enumerate(prefixes)]
    sharing = tuple(
        PlannedCall((texts[prefix], (text, num_tokens)), call.num_output_tokens)
        for call, prefix, num_tokens in zip(calls, order.tolist(), owns.tolist(), strict=True)
        for text, _ in call.prompt
    )
    # One token more than the prefix: the last token of a prompt is always computed.
    warmers = tuple(PlannedCall((text, (f"{name} warmer", 1)), 1) for text in texts)
    yield Point(name, "sharing", (), (warmers, sharing))


def _whole_blocks(num_tokens: int, limits: Limits) -> int:
    return num_tokens // limits.block_size * limits.block_size


def idle_points(limits: Limits, extent: Extent) -> Iterator[Point]:
    """Calls into an idle engine, one by one, two by two, in groups and many at once."""
    for tokens in _IDLE_PROMPTS:
        name = f"idle {tokens}"
        singles = tuple((PlannedCall(((f"{name} single {index}", tokens),), 6),) for index in range(extent.num_idle))
        pairs = tuple(
            tuple(PlannedCall(((f"{name} pair {index} {each}", tokens),), 6) for each in range(2))
            for index in range(extent.num_idle)
        )
        yield Point(name, "idle", (), (*singles, *pairs))
        groups = tuple(
            tuple(PlannedCall(((f"{name} {size} at once {index} {each}", tokens),), 3) for each in range(size))
            for size in _IDLE_GROUPS
            if size * (tokens + limits.block_size) <= limits.num_tokens
            for index in range(extent.num_idle)
        )
        yield Point(f"groups of {tokens}", "client", (), groups)
    num_calls = min(64, limits.max_num_seqs)
    waves = tuple(
        tuple(PlannedCall(((f"burst {index} {each}", 16),), 3) for each in range(num_calls)) for index in range(3)
    )
    yield Point("burst of calls", "client", (), waves)


def staircase(name: str, sizes: Sequence[int], context: int, num_hold_steps: int, limits: Limits) -> Wave:
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
