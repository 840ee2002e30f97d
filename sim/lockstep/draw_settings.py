"""Random engine limits: every combination of features, and sizes at which they get into each other's way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from sim.settings import EngineSettings

_T = TypeVar("_T")


def pick(rng: np.random.Generator, options: Sequence[_T]) -> _T:
    """One of some options, each as likely as its share of the list."""
    return options[int(rng.integers(len(options)))]


def between(rng: np.random.Generator, low: int, high: int) -> int:
    """An integer from `low` to `high`, both included; `low` when the range is empty."""
    return int(rng.integers(low, max(low, high) + 1))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with this probability."""
    return bool(rng.random() < probability)


def draw_settings(rng: np.random.Generator) -> EngineSettings:
    """Limits of one engine. Half of them are short of memory, so that preemptions are common."""
    return _tight_settings(rng) if chance(rng, 0.5) else _any_settings(rng)


def _any_settings(rng: np.random.Generator) -> EngineSettings:
    """From a context of two tokens and memory for one call to vLLM's defaults."""
    max_model_len, block_size = pick(
        rng,
        [
            (between(rng, 2, 12), pick(rng, [1, 2, 3, 4])),
            (between(rng, 8, 80), pick(rng, [1, 2, 3, 4, 8, 16])),
            (between(rng, 50, 400), pick(rng, [4, 8, 16])),
            (pick(rng, [1024, 2048, 4096]), 16),
        ],
    )
    plenty = pick(rng, [1.0, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 40.0])
    budgets = [1, 2, 3, between(rng, 2, 20), between(rng, 5, 100), max_model_len, 2 * max_model_len, 2048, 8192]
    least = 32 if max_model_len >= 1024 else 1  # a huge prompt in tiny chunks is slow, and no other case
    return EngineSettings(
        num_blocks=_num_blocks(rng, max_model_len, block_size, plenty),
        block_size=block_size,
        max_num_seqs=pick(rng, [1, 2, 3, 4, between(rng, 2, 12), 32, 256]),
        max_model_len=max_model_len,
        enable_prefix_caching=chance(rng, 0.75),
        scheduling_policy=pick(rng, ["fcfs", "fcfs", "priority"]),
        scheduler_reserve_full_isl=chance(rng, 0.6),
        watermark=pick(rng, [0.0, 0.0, 0.05, 0.3]),
        **_budget(rng, max_model_len, max(pick(rng, budgets), least)),
    )


def _tight_settings(rng: np.random.Generator) -> EngineSettings:
    """Memory for one to three long calls, and room for more of them in the batch."""
    max_model_len = pick(rng, [between(rng, 4, 16), between(rng, 10, 60), between(rng, 30, 150)])
    block_size = pick(rng, [1, 2, 2, 3, 4, 4, 8])
    budgets = [max_model_len, 2 * max_model_len, 2048, between(rng, 1, max_model_len)]
    return EngineSettings(
        num_blocks=_num_blocks(rng, max_model_len, block_size, pick(rng, [1.0, 1.2, 1.5, 2.0, 3.0])),
        block_size=block_size,
        max_num_seqs=pick(rng, [3, 5, 10, 256]),
        max_model_len=max_model_len,
        enable_prefix_caching=chance(rng, 0.85),
        scheduling_policy=pick(rng, ["fcfs", "priority", "priority"]),
        scheduler_reserve_full_isl=chance(rng, 0.4),
        watermark=pick(rng, [0.0, 0.0, 0.0, 0.05, 0.3]),
        **_budget(rng, max_model_len, pick(rng, budgets)),
    )


def _num_blocks(rng: np.random.Generator, max_model_len: int, block_size: int, plenty: float) -> int:
    """Memory for `plenty` calls of full length, a few blocks, and vLLM's null block."""
    return int(-(-max_model_len // block_size) * plenty) + between(rng, 0, 3) + 1


def _budget(rng: np.random.Generator, max_model_len: int, max_num_batched_tokens: int) -> dict[str, Any]:
    """What bounds a step; without chunked prefill every prompt must fit it."""
    chunked = chance(rng, 0.75)
    thresholds = [0, 0, 0, 1, 2, between(rng, 1, 10), between(rng, 5, 40)] if max_model_len < 1024 else [0, 64, 256]
    return {
        "enable_chunked_prefill": chunked,
        "max_num_batched_tokens": max_num_batched_tokens if chunked else max(max_num_batched_tokens, max_model_len),
        "long_prefill_token_threshold": pick(rng, thresholds),
        "async_scheduling": chance(rng, 0.6),
    }
