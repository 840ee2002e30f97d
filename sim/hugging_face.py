"""Hugging Face `generate` behind a FastChat worker: one call at a time, in order of arrival.

A call is one prefill step, which brings its first token, and one step for each further token. The worker takes the next
call when the last one has its whole answer (FastChat's default worker runs at batch size 1).
"""

from __future__ import annotations

from collections import deque

from sim.request import Request
from sim.stepped import Resident, StepPlan


class OneAtATime:
    """Queue of a worker that serves one call at a time.

    Parameters
    ----------
    max_model_len : int
        Longest prompt plus output, tokens.
    """

    def __init__(self, max_model_len: int) -> None:
        if max_model_len < 1:
            raise ValueError(f"max_model_len={max_model_len} must be positive")
        self._max_model_len = max_model_len
        self._waiting: deque[Request] = deque()
        self._served: Resident | None = None

    @property
    def num_resident(self) -> int:
        return int(self._served is not None)

    @property
    def num_free_blocks(self) -> int:
        """None: the cache of a call is one tensor, not blocks."""
        return 0

    def check(self, request: Request) -> None:
        num_tokens = request.num_prompt_tokens + request.num_output_tokens
        if num_tokens > self._max_model_len:
            raise ValueError(f"{num_tokens} prompt and output tokens exceed max_model_len={self._max_model_len}")

    def add(self, request: Request) -> None:
        self._waiting.append(request)

    def may_join(self) -> bool:
        return False  # whoever arrives waits for the end of the call that is served

    def next_step(self) -> StepPlan | None:
        if self._served is None:
            if not self._waiting:
                return None
            request = self._waiting.popleft()
            self._served = Resident(request, request.num_prompt_tokens, request.num_output_tokens)
            return StepPlan(prefills=[(request, request.num_prompt_tokens, 0)], first_tokens=[request])
        served = self._served
        return StepPlan(decodes=[served], num_context_tokens=served.num_computed + 1, max_steps=served.num_left)

    def complete(self, plan: StepPlan, num_steps: int) -> list[Request]:
        served = self._served
        if served is None:
            return []
        if plan.prefills:
            served.num_computed = served.num_prompt_tokens
            served.num_left -= 1
        else:
            served.decode(num_steps)
        if served.num_left:
            return []
        self._served = None
        return [served.request]
