"""What an engine step computes, read from vLLM's description of it, in the terms of `sim.step_cost`.

A request prefills from its start, or its return after a preemption, until all its known tokens are computed; from the
next step on it decodes. That is how `sim.scheduler` and the reference engine count, so records agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sim.sharing import StepSharing
from sim.step_cost import UNSHARED, Sharing

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import NewRequestData, SchedulerOutput


class Start(NamedTuple):
    """A request that came from the waiting queue in a step.

    Parameters
    ----------
    request_id : str
    num_computed_tokens : int
        Found in the prefix cache.
    num_output_tokens : int
        Generated before; more than 0 only after a preemption.
    """

    request_id: str
    num_computed_tokens: int
    num_output_tokens: int


class StepLoad(NamedTuple):
    """Load of one step; the first four fields are the arguments of `sim.step_cost.StepCost.step`.

    Parameters
    ----------
    num_decodes, num_context_tokens : int
    prefills : list of (num_new_tokens, num_computed_tokens)
    sharing : Sharing
        KV blocks that several of the decoding requests hold.
    starts : list of Start
    unfinished : set of str
        Requests whose prefill goes on: the step gives them no token.
    """

    num_decodes: int
    num_context_tokens: int
    prefills: list[tuple[int, int]]
    sharing: Sharing
    starts: list[Start]
    unfinished: set[str]

    @property
    def num_prefill_tokens(self) -> int:
        return sum(num_new for num_new, _ in self.prefills)

    @property
    def is_empty(self) -> bool:
        return not self.num_decodes and not self.prefills


class StepLoads:
    """Follows which requests prefill from one step to the next. Every step must be shown, in order.

    Parameters
    ----------
    block_size : int
        Tokens in a KV block; 0 where nobody asks for what requests share.
    """

    def __init__(self, block_size: int = 0) -> None:
        self._sharing = StepSharing(block_size) if block_size else None
        self._num_prompt_tokens: dict[str, int] = {}
        self._num_known_tokens: dict[str, int] = {}  # of prefilling requests, as of their start

    def is_idle_before(self, output: SchedulerOutput) -> bool:
        """Whether no earlier request is unfinished when this step, not read yet, is planned."""
        finished: set[str] = output.finished_req_ids
        return self._num_prompt_tokens.keys() <= finished

    def read(self, output: SchedulerOutput) -> StepLoad:
        """Load of the next step."""
        for request_id in output.finished_req_ids:
            self._num_prompt_tokens.pop(request_id, None)
            self._num_known_tokens.pop(request_id, None)
        for request_id in output.preempted_req_ids or ():
            self._num_known_tokens.pop(request_id, None)
        cached = output.scheduled_cached_reqs
        starts = self._new(output.scheduled_new_reqs)
        before = {start.request_id: start.num_computed_tokens for start in starts}
        num_context_tokens = sum(cached.num_computed_tokens)
        if cached.resumed_req_ids or len(self._num_known_tokens) > len(starts):
            for index, request_id in enumerate(cached.req_ids):
                num_computed = cached.num_computed_tokens[index]
                if request_id in cached.resumed_req_ids:
                    starts.append(self._resumed(request_id, num_computed, cached.num_output_tokens[index]))
                if request_id in self._num_known_tokens:
                    before[request_id] = num_computed
                    num_context_tokens -= num_computed
        num_decodes = len(output.num_scheduled_tokens) - len(before)
        prefills, unfinished = self._chunks(before, output.num_scheduled_tokens)
        sharing = self._sharing.read(output, before) if self._sharing is not None else UNSHARED
        return StepLoad(num_decodes, num_context_tokens + num_decodes, prefills, sharing, starts, unfinished)

    def _new(self, requests: list[NewRequestData]) -> list[Start]:
        """Requests that vLLM describes as new; its second model runner gets resumed ones so, too."""
        starts = []
        for new in requests:
            num_prompt = len(new.prompt_token_ids)
            num_known = num_prompt if new.prefill_token_ids is None else len(new.prefill_token_ids)
            self._num_prompt_tokens[new.req_id] = num_prompt
            self._num_known_tokens[new.req_id] = num_known
            starts.append(Start(new.req_id, new.num_computed_tokens, num_known - num_prompt))
        return starts

    def _resumed(self, request_id: str, num_computed_tokens: int, num_output_tokens: int) -> Start:
        self._num_known_tokens[request_id] = self._num_prompt_tokens[request_id] + num_output_tokens
        return Start(request_id, num_computed_tokens, num_output_tokens)

    def _chunks(self, before: dict[str, int], num_new_tokens: dict[str, int]) -> tuple[list[tuple[int, int]], set[str]]:
        """The step's chunks, and the requests that go on prefilling after it."""
        chunks, unfinished = [], set()
        for request_id, num_computed in before.items():
            num_new = num_new_tokens[request_id]
            chunks.append((num_new, num_computed))
            if num_computed + num_new < self._num_known_tokens[request_id]:
                unfinished.add(request_id)
            else:
                del self._num_known_tokens[request_id]
        return chunks, unfinished


def client_id(request_id: str) -> str:
    """Id of a request as its client gave it: vLLM's front end appends a dash and eight random characters."""
    return request_id.rpartition("-")[0] or request_id
