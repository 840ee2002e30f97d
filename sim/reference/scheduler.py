"""vLLM's scheduler behind the project's own requests: what each step runs, without time.

`schedule` plans a step with vLLM's own code; `complete` gives it the tokens that a model would have sampled. A request
is prefilling from its start (or its return after a preemption) until all its known tokens are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.reference import vllm_api as vllm
from sim.reference.build import block_hasher, build_scheduler
from sim.request import Request
from sim.settings import EngineSettings
from sim.sharing import StepSharing
from sim.step_cost import UNSHARED, Sharing


@dataclass(slots=True)
class Plan:
    """What one step runs, in vLLM's order.

    Parameters
    ----------
    prefills, decodes : list of (Request, int, int)
        Requests with their tokens computed in this step and before it.
    completed : list of Request
        Those of the prefills whose known tokens are all computed after this step.
    preempted, left_out : list of Request
        Put back to wait; decoding, but passed over for want of budget.
    output : SchedulerOutput
        vLLM's own description, to be handed back to it.
    sampled : set of str
        Ids of the requests to which the step gives a token.
    sharing : Sharing
        KV blocks that several of the decoding requests hold.
    """

    prefills: list[tuple[Request, int, int]]
    decodes: list[tuple[Request, int, int]]
    completed: list[Request]
    preempted: list[Request]
    left_out: list[Request]
    output: vllm.SchedulerOutput
    sampled: set[str]
    sharing: Sharing = UNSHARED


class _Entry:
    """A request that vLLM knows."""

    __slots__ = ("inner", "is_decoding", "num_planned", "request", "token_ids")

    def __init__(self, request: Request, inner: vllm.Request, token_ids: Sequence[int]) -> None:
        self.request = request
        self.inner = inner
        self.token_ids = token_ids
        self.is_decoding = False
        self.num_planned = 0  # tokens computed once all planned steps are done

    @property
    def may_decode(self) -> bool:
        """Whether a step could decode a token of it; the last token is never computed."""
        return self.is_decoding and self.num_planned < self.request.num_tokens - 1


class ReferenceScheduler:
    """vLLM's scheduler for one engine.

    Parameters
    ----------
    settings : EngineSettings
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._scheduler = build_scheduler(settings)
        self._hasher = block_hasher(settings.block_size) if settings.enable_prefix_caching else None
        self._sharing = StepSharing(settings.block_size)
        self._entries: dict[str, _Entry] = {}

    def add(self, request: Request, token_ids: Sequence[int]) -> None:
        """Enter a request that has arrived.

        Parameters
        ----------
        request : Request
            Its `sequence` is the order of arrival; vLLM breaks ties of priority by it.
        token_ids : sequence of int, (num_tokens,)
            Of its prompt and of the output that it will have.
        """
        count = request.num_output_tokens
        inner = vllm.Request(
            _request_id(request),
            list(token_ids[: request.num_prompt_tokens]),
            vllm.SamplingParams(max_tokens=count, min_tokens=count, ignore_eos=True),
            None,
            arrival_time=float(request.sequence),
            priority=request.priority,
            block_hasher=self._hasher,
        )
        self._entries[inner.request_id] = _Entry(request, inner, token_ids)
        self._scheduler.add_request(inner)

    @property
    def running(self) -> list[Request]:
        """Admitted requests, in order of admission."""
        return [self._entries[inner.request_id].request for inner in self._scheduler.running]

    @property
    def waiting(self) -> list[Request]:
        """Requests that are not admitted."""
        return [self._entries[inner.request_id].request for inner in self._scheduler.waiting]

    @property
    def num_free(self) -> int:
        """Free KV blocks."""
        return int(self._scheduler.kv_cache_manager.block_pool.get_num_free_blocks())

    @property
    def has_unfinished(self) -> bool:
        """Whether a request runs or waits."""
        return bool(self._scheduler.get_num_unfinished_requests())

    @property
    def has_work(self) -> bool:
        """Whether vLLM's engine core would plan another step; one more after the last request has finished."""
        return bool(self._scheduler.has_requests())

    def schedule(self) -> Plan:
        """Plan the next step."""
        output = self._scheduler.schedule()
        before = {new.req_id: new.num_computed_tokens for new in output.scheduled_new_reqs}
        cached = output.scheduled_cached_reqs
        before.update(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
        preempted = [self._entries[request_id] for request_id in sorted(output.preempted_req_ids or ())]
        for entry in preempted:
            entry.is_decoding = False
        plan = Plan([], [], [], [entry.request for entry in preempted], [], output, set())
        for request_id, num_new in output.num_scheduled_tokens.items():
            self._note(plan, request_id, num_new, before[request_id])
        plan.sharing = self._sharing.read(output, {_request_id(request) for request, _, _ in plan.prefills})
        for inner in self._scheduler.running:
            if inner.request_id not in before and self._entries[inner.request_id].may_decode:
                plan.left_out.append(self._entries[inner.request_id].request)
        return plan

    def _note(self, plan: Plan, request_id: str, num_new: int, num_computed: int) -> None:
        """Sort one scheduled request into the plan."""
        entry = self._entries[request_id]
        entry.num_planned = num_computed + num_new
        gives_token = not entry.inner.is_prefill_chunk
        if gives_token:
            plan.sampled.add(request_id)
        if entry.is_decoding:
            plan.decodes.append((entry.request, num_new, num_computed))
            return
        plan.prefills.append((entry.request, num_new, num_computed))
        if gives_token:
            plan.completed.append(entry.request)
            entry.is_decoding = True

    def complete(self, plan: Plan) -> list[Request]:
        """Give a planned step its output; returns the requests that finish with it, in vLLM's order.

        Steps are completed in the order in which they were planned. Cached tokens and preemptions are entered into the
        request when vLLM reports them.
        """
        ids = list(plan.output.num_scheduled_tokens)
        tokens = [self._sampled(request_id) if request_id in plan.sampled else [] for request_id in ids]
        result = vllm.ModelRunnerOutput(
            req_ids=ids, req_id_to_index={name: index for index, name in enumerate(ids)}, sampled_token_ids=tokens
        )
        finished = []
        for outputs in self._scheduler.update_from_output(plan.output, result).values():
            for each in outputs.outputs:
                entry = self._entries[each.request_id]
                if each.prefill_stats is not None:
                    entry.request.num_cached_tokens = each.prefill_stats.num_local_cached_tokens
                if each.finish_reason is not None:
                    entry.request.num_preemptions = entry.inner.num_preemptions
                    finished.append(entry.request)
                    del self._entries[each.request_id]
        return finished

    def _sampled(self, request_id: str) -> list[int]:
        entry = self._entries.get(request_id)
        return [] if entry is None else [entry.token_ids[entry.inner.num_tokens]]


def _request_id(request: Request) -> str:
    return f"{request.sequence:09d}"
