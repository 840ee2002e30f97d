"""Limits that the older engines with paged memory have in common, and what follows from them for one call."""

from __future__ import annotations

from dataclasses import dataclass

from sim.request import Request


@dataclass(frozen=True, slots=True)
class PagedLimits:
    """Memory, batch and token limits of an engine that never splits a prompt.

    Parameters
    ----------
    num_blocks, block_size : int
    max_num_seqs : int
        Most calls admitted.
    max_num_batched_tokens : int
        Most prompt tokens of one step, and so the longest prompt.
    max_total_tokens : int
        Most tokens of the calls that run together, as each engine counts them; 0 = no limit.

    Raises
    ------
    ValueError
        When a limit is out of range.
    """

    num_blocks: int
    block_size: int = 16
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 2560
    max_total_tokens: int = 0

    def __post_init__(self) -> None:
        for name in ("num_blocks", "block_size", "max_num_seqs", "max_num_batched_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be positive")
        if self.max_total_tokens < 0:
            raise ValueError(f"max_total_tokens={self.max_total_tokens} must not be negative")

    def blocks_for(self, num_tokens: int) -> int:
        """Blocks that so many tokens of one call take."""
        return -(-num_tokens // self.block_size)

    def check(self, request: Request, num_reserved_blocks: int = 0) -> None:
        """Refuse a request that could never run, even alone.

        Raises
        ------
        ValueError
            When its prompt is longer than a step, or prompt and output need more blocks than there are but for
            `num_reserved_blocks`.
        """
        num_tokens = request.num_prompt_tokens + request.num_output_tokens
        if request.num_prompt_tokens > self.max_num_batched_tokens:
            raise ValueError(
                f"num_prompt_tokens={request.num_prompt_tokens} exceeds max_num_batched_tokens="
                f"{self.max_num_batched_tokens}: this scheduler does not split prompts"
            )
        if self.blocks_for(num_tokens) > self.num_blocks - num_reserved_blocks:
            raise ValueError(f"{num_tokens} prompt and output tokens never fit in num_blocks={self.num_blocks}")
