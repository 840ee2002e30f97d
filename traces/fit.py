"""Whether every call of a workload can run on an engine at all, simulated or real."""

from __future__ import annotations

from typing import Protocol

from traces.workload import Workload, num_prompt_tokens


class MemoryLimits(Protocol):
    """What bounds the length of one call on an engine."""

    @property
    def num_blocks(self) -> int:
        """KV blocks, vLLM's null block included."""

    @property
    def block_size(self) -> int:
        """Tokens in a KV block."""

    @property
    def max_model_len(self) -> int:
        """Longest prompt plus output, tokens."""


def check_fit(workload: Workload, limits: MemoryLimits, *, source: str) -> None:
    """Refuse a workload with a call that no engine of these limits could ever finish.

    Parameters
    ----------
    workload : Workload
    limits : MemoryLimits
    source : str
        File name, or what made the workload; opens the message.

    Raises
    ------
    ValueError
        One line: source, application, call, field, value and rule.
    """
    # One block is vLLM's null block and holds nothing. The last output token is sampled but never computed, so it needs
    # no KV memory.
    capacity = (limits.num_blocks - 1) * limits.block_size + 1
    for application in workload.applications:
        outputs = {call.id: call.output_tokens for call in application.calls}
        for call in application.calls:
            num_prompt = num_prompt_tokens(call, outputs)
            num_tokens = num_prompt + call.output_tokens
            if num_tokens > min(limits.max_model_len, capacity):
                rule = (
                    f"max_model_len={limits.max_model_len}"
                    if num_tokens > limits.max_model_len
                    else f"the {capacity - 1} tokens of KV memory (num_blocks={limits.num_blocks}, one of them "
                    f"vLLM's null block, of block_size={limits.block_size})"
                )
                raise ValueError(
                    f"{source}: application {application.id!r}, call {call.id!r}: prompt of {num_prompt} tokens plus "
                    f"output_tokens={call.output_tokens} must not exceed {rule}"
                )
