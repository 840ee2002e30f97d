"""Limits of one engine, under vLLM's names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What bounds an engine's scheduler, as in vLLM 0.24 (defaults are vLLM's for a server on an 80 GB card).

    Parameters
    ----------
    num_blocks : int
        KV blocks of the engine, vLLM's `num_gpu_blocks`; one of them is vLLM's null block and holds nothing.
    block_size : int
        Tokens in a block.
    max_num_seqs : int
        Most calls running at once.
    max_num_batched_tokens : int
        Most tokens computed in one step.
    max_model_len : int
        Longest prompt plus output, tokens.
    enable_prefix_caching, enable_chunked_prefill, async_scheduling : bool
    scheduling_policy : str
        Order of the waiting queue: "fcfs", or "priority" by the policy's rank.
    long_prefill_token_threshold : int
        Most tokens of one prompt in one step; 0 = no limit of its own.
    scheduler_reserve_full_isl : bool
        Admit a call only when its whole prompt fits, not only its first chunk.
    watermark : float
        Share of the blocks kept free when a call is admitted beside running ones.

    Raises
    ------
    ValueError
        When a value is out of range; the message names it.
    """

    num_blocks: int
    block_size: int = 16
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2048
    max_model_len: int = 4096
    enable_prefix_caching: bool = True
    enable_chunked_prefill: bool = True
    async_scheduling: bool = True
    scheduling_policy: str = "fcfs"
    long_prefill_token_threshold: int = 0
    scheduler_reserve_full_isl: bool = True
    watermark: float = 0.0

    def __post_init__(self) -> None:
        for name in ("block_size", "max_num_seqs", "max_num_batched_tokens", "max_model_len"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be positive")
        if self.num_blocks < 2:
            raise ValueError(f"num_blocks={self.num_blocks} must be at least 2: one block is vLLM's null block")
        if self.long_prefill_token_threshold < 0:
            raise ValueError(f"long_prefill_token_threshold={self.long_prefill_token_threshold} must not be negative")
        if self.scheduling_policy not in ("fcfs", "priority"):
            raise ValueError(f"scheduling_policy={self.scheduling_policy!r} must be 'fcfs' or 'priority'")
        if not 0.0 <= self.watermark < 1.0:
            raise ValueError(f"watermark={self.watermark} must be in [0, 1)")
        if not self.enable_chunked_prefill and self.max_num_batched_tokens < self.max_model_len:
            raise ValueError(
                f"max_num_batched_tokens={self.max_num_batched_tokens} must be at least max_model_len="
                f"{self.max_model_len} without chunked prefill"
            )

    @property
    def num_usable_blocks(self) -> int:
        """Blocks that can hold tokens: all but vLLM's null block."""
        return self.num_blocks - 1
