"""vLLM's schedulers with two additions: they record every step, and may ask a policy for the order of what waits.

Named as `scheduler_cls`; vLLM builds them in the engine's process. What they are told comes in `additional_config`
(`realexec.engine_options`). With asynchronous scheduling the base must be `AsyncScheduler`: vLLM gives up planning
ahead for any other.
"""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler

from policies.interface import Policy
from realexec.call_metadata import CallMetadata, from_extra_args
from realexec.engine_options import EngineOptions, options_of
from realexec.engine_process import end_with_parent
from realexec.policy_queue import PolicyQueue
from realexec.recording import Recorder

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.request import Request


#: First part of a request's place in the waiting queue; the second is the policy's rank or, of others, vLLM's priority.
_RANKED, _FOREIGN = 0, 1


class SyncRecordingScheduler(Scheduler):  # type: ignore[misc]
    """vLLM's synchronous scheduler, recorded.

    A step is planned when `schedule` returns and has ended when `update_from_output` is called.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        end_with_parent()
        self._options = options_of(self.vllm_config.additional_config)
        folder = self._options.record_folder
        self._recorder = Recorder(Path(folder)) if folder else None

    def schedule(self, throttle_prefills: bool = False) -> SchedulerOutput:
        output = super().schedule(throttle_prefills)
        if self._recorder is not None:
            num_free = self.kv_cache_manager.block_pool.get_num_free_blocks()
            self._recorder.planned(output, time.monotonic(), len(self.running), num_free)
        return output

    def update_from_output(self, scheduler_output: SchedulerOutput, model_runner_output: ModelRunnerOutput) -> Any:
        if self._recorder is not None:
            self._recorder.finished(time.monotonic())
        return super().update_from_output(scheduler_output, model_runner_output)

    def shutdown(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
        super().shutdown()


class SyncPolicyScheduler(SyncRecordingScheduler):
    """The same, where waiting requests stand in the order of a policy's ranks.

    To be used with `scheduling_policy="priority"`, whose rules stay: a request waits behind lower ranks and, among
    equals, behind earlier arrivals; memory is taken from the running request that is last in this order, which then
    waits in its place again. That is what `sim.scheduler` does.

    A server may also get requests of other clients, of which the policy knows nothing. They wait behind all calls that
    it ranks, in vLLM's own order.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._policy = _build_policy(self._options)
        self._calls: dict[str, CallMetadata] = {}
        self.waiting = PolicyQueue()

    def add_request(self, request: Request) -> None:
        try:
            call = from_extra_args(request.sampling_params.extra_args)
        except ValueError:
            request.priority = (_FOREIGN, request.priority)
        else:
            self._calls[request.request_id] = call
            request.priority = self._rank(call)
        super().add_request(request)

    def schedule(self, throttle_prefills: bool = False) -> SchedulerOutput:
        if self._policy.reranks and self.waiting:
            self.waiting.rank_again(self._rank_again)
        output = super().schedule(throttle_prefills)
        for request_id in output.finished_req_ids:
            self._calls.pop(request_id, None)
        return output

    def _rank(self, call: CallMetadata) -> tuple[int, Any]:
        return _RANKED, self._policy.rank(call, time.monotonic() - call.run_started_at)

    def _rank_again(self, request: Request) -> tuple[int, Any]:
        call = self._calls.get(request.request_id)
        return request.priority if call is None else self._rank(call)


class RecordingScheduler(SyncRecordingScheduler, AsyncScheduler):  # type: ignore[misc]
    """vLLM's asynchronous scheduler, recorded."""


class PolicyScheduler(SyncPolicyScheduler, AsyncScheduler):  # type: ignore[misc]
    """vLLM's asynchronous scheduler, recorded, with the policy's order."""


def _build_policy(options: EngineOptions) -> Policy:
    """The policy that "module:Class" names.

    Raises
    ------
    ValueError
        When there is none.
    """
    module, _, name = options.policy.partition(":")
    try:
        policy_class = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"policy={options.policy!r} is not an importable 'module:Class': {error}") from error
    policy: Policy = policy_class(**options.policy_parameters)
    return policy
