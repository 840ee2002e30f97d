"""State of engines as a gateway keeps it; to a policy, read-only windows (`policies.interface.EngineView`).

Everything here follows from what the gateway itself sent and saw finish, so it needs nothing from the engine but its
limits. What it believes about prefix caches is an estimate: content counts as cached at an engine until as many further
tokens went there as the engine's KV memory holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from policies.calls import CallState
    from policies.interface import CallView
    from traces.prefix import PrefixNode


class EngineState:
    """One engine as the coordinator knows it.

    Parameters
    ----------
    engine_id : int
    num_blocks, block_size : int
        KV blocks and tokens in a block.
    max_num_seqs : int
    window : int
        Most calls the coordinator may keep here; 0 = no limit.

    Raises
    ------
    ValueError
        When the window is negative.
    """

    def __init__(self, engine_id: int, *, num_blocks: int, block_size: int, max_num_seqs: int, window: int = 0) -> None:
        if window < 0:
            raise ValueError(f"window={window} must not be negative (engine {engine_id})")
        self.engine_id = engine_id
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.max_num_seqs = max_num_seqs
        self.window = window
        self.num_unfinished = 0
        self.num_unfinished_tokens = 0
        self.is_open = True
        self.observed_at = 0.0
        self._by_stage: dict[str, int] = {}
        self._tokens_sent = 0
        self._last_sent: dict[PrefixNode, int] = {}  # value of `_tokens_sent` when the content was last sent

    def num_unfinished_of(self, stage: str) -> int:
        return self._by_stage.get(stage, 0)

    def num_believed_cached_tokens(self, call: CallView) -> int:
        num_tokens = 0
        capacity = self.num_blocks * self.block_size
        for node in cast("CallState", call).path:
            sent_at = self._last_sent.get(node)
            if sent_at is None or self._tokens_sent - sent_at > capacity:
                break
            num_tokens = node.end
        return min(num_tokens, call.num_prompt_tokens)

    def add(self, call: CallState) -> None:
        """A call was dispatched here."""
        self.num_unfinished += 1
        self.num_unfinished_tokens += call.num_prompt_tokens
        self._by_stage[call.stage] = self._by_stage.get(call.stage, 0) + 1
        if self.window:
            self.is_open = self.num_unfinished < self.window
        if call.path:
            self._tokens_sent += call.num_prompt_tokens - self.num_believed_cached_tokens(call)
            for node in call.path:
                self._last_sent[node] = self._tokens_sent
        else:
            self._tokens_sent += call.num_prompt_tokens

    def remove(self, call: CallState) -> None:
        """A call that was dispatched here is done."""
        self.num_unfinished -= 1
        self.num_unfinished_tokens -= call.num_prompt_tokens
        self._by_stage[call.stage] -= 1
        self._tokens_sent += call.num_output_tokens
        self.is_open = True


def snapshot(engine: EngineState, now: float) -> EngineState:
    """A copy that does not change any more, for policies that must see old views."""
    # Not `copy.copy`, which cannot copy a class that mypyc compiled.
    frozen = EngineState(
        engine.engine_id,
        num_blocks=engine.num_blocks,
        block_size=engine.block_size,
        max_num_seqs=engine.max_num_seqs,
        window=engine.window,
    )
    frozen.num_unfinished = engine.num_unfinished
    frozen.num_unfinished_tokens = engine.num_unfinished_tokens
    frozen.is_open = engine.is_open
    frozen.observed_at = now
    frozen._by_stage = dict(engine._by_stage)
    frozen._tokens_sent = engine._tokens_sent
    frozen._last_sent = dict(engine._last_sent)
    return frozen
