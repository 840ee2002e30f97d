"""An executor that runs no model: a step's output is ready when the step would have ended on the profile's GPU."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from vllm.config import VllmConfig
from vllm.v1.core.sched.output import GrammarOutput, SchedulerOutput
from vllm.v1.executor.abstract import Executor
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheSpec
from vllm.v1.outputs import EMPTY_MODEL_RUNNER_OUTPUT, ModelRunnerOutput

from realexec.engine_options import options_of
from realexec.step_load import StepLoad, StepLoads
from realexec.virtual import ENVIRONMENT_VARIABLE
from realexec.virtual.timeline import DeviceTimeline
from realexec.virtual.tokens import TokenStreams
from sim.profile import Profile, load_profile


class VirtualExecutor(Executor):  # type: ignore[misc]
    """Takes the modelled time for every step, and answers what else vLLM asks of an executor.

    Notes
    -----
    vLLM's engine core waits for a step in `Future.result`, on its main thread. `_Step` sleeps there until the step's
    end: no timer thread, and no core is kept busy.
    """

    def _init_executor(self) -> None:
        _leave_client()
        self._profile = _profile(self.vllm_config)
        self._timeline = DeviceTimeline(self._profile, bool(self.scheduler_config.async_scheduling))
        self._loads = StepLoads(self.cache_config.block_size)
        self._tokens = TokenStreams(self.model_config.get_vocab_size())
        self._planned: _Step | None = None

    # -- memory -------------------------------------------------------------------------------------------------------

    def get_kv_cache_specs(self) -> list[dict[str, KVCacheSpec]]:
        """Full attention in every layer, the same for every GPU of a tensor-parallel group."""
        model = self.model_config
        spec = FullAttentionSpec(
            block_size=self.cache_config.block_size,
            num_kv_heads=model.get_num_kv_heads(self.parallel_config),
            head_size=model.get_head_size(),
            dtype=model.dtype,
        )
        layers = range(model.get_num_layers(self.parallel_config))
        return [{f"layers.{index}": spec for index in layers} for _ in range(self.parallel_config.world_size)]

    def determine_available_memory(self) -> list[int]:
        """Bytes for the KV cache on each GPU of the group: as many tokens of this model as the measured engine held."""
        measured = self._profile.engine_defaults
        num_blocks = measured.num_blocks * measured.block_size // self.cache_config.block_size
        return [
            num_blocks * sum(spec.page_size_bytes for spec in layers.values()) for layers in self.get_kv_cache_specs()
        ]

    def initialize_from_config(self, kv_cache_configs: list[KVCacheConfig]) -> None:
        """Nothing is allocated."""

    # -- steps --------------------------------------------------------------------------------------------------------

    def execute_model(self, scheduler_output: SchedulerOutput, non_block: bool = False) -> Any:
        """Begin a step; its tokens come from `sample_tokens`, unless nothing is scheduled."""
        now = time.monotonic()
        is_first = self._loads.is_idle_before(scheduler_output)
        load = self._loads.read(scheduler_output)
        self._tokens.forget(scheduler_output.finished_req_ids)
        if load.is_empty:
            return _done(EMPTY_MODEL_RUNNER_OUTPUT) if non_block else EMPTY_MODEL_RUNNER_OUTPUT
        span = self._timeline.add(load, now, is_first=is_first)
        self._planned = _Step(span.finished_at, self._sample(scheduler_output, load))
        _sleep_until(span.launched_at)
        return _done(None) if non_block else None

    def sample_tokens(self, grammar_output: GrammarOutput | None, non_block: bool = False) -> Any:
        """Output of the step begun last, when its time is over."""
        step, self._planned = self._planned, None
        assert step is not None  # vLLM samples only what it has executed
        return step if non_block else step.result()

    def _sample(self, output: SchedulerOutput, load: StepLoad) -> ModelRunnerOutput:
        ids = list(output.num_scheduled_tokens)
        draw = self._tokens.next
        tokens = [[] if name in load.unfinished else [draw(name)] for name in ids]
        index = {name: position for position, name in enumerate(ids)}
        return ModelRunnerOutput(req_ids=ids, req_id_to_index=index, sampled_token_ids=tokens)

    # -- the rest -----------------------------------------------------------------------------------------------------

    def collective_rpc(
        self,
        method: str | Callable[..., Any],
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        non_block: bool = False,
    ) -> Any:
        """What vLLM asks its workers: there are none, so only the task they would support is answered."""
        answers: list[Any] = [("generate",)] if method == "get_supported_tasks" else [None]
        return _done(answers) if non_block else answers

    def check_health(self) -> None:
        """Nothing can break."""

    @classmethod
    def supports_async_scheduling(cls) -> bool:
        """Steps may be planned while one runs."""
        return True


class NoWorker:
    """Stands where vLLM wants the name of a worker class; it is never built."""


class _Step(Future[ModelRunnerOutput]):
    """Output of a step that ends at a known instant."""

    def __init__(self, finished_at: float, output: ModelRunnerOutput) -> None:
        super().__init__()
        self._finished_at = finished_at
        self._output = output

    def done(self) -> bool:
        """Whether the step's time is over."""
        return time.monotonic() >= self._finished_at

    def result(self, timeout: float | None = None) -> ModelRunnerOutput:
        """Sleep until the step is over."""
        _sleep_until(self._finished_at)
        return self._output


def _leave_client() -> None:
    """Undo what this process inherited when it was forked from the client's.

    A signal sent here would be written into the wake-up pipe of the client's event loop, and handled there as if the
    client had got it. Python's standard streams may be those of a live view; vLLM's log may be silenced.
    """
    signal.set_wakeup_fd(-1)
    sys.stdout, sys.stderr = (open(descriptor, "w", buffering=1, closefd=False) for descriptor in (1, 2))  # noqa: SIM115
    logging.getLogger("vllm").setLevel(logging.INFO)


def _sleep_until(instant: float) -> None:
    delay = instant - time.monotonic()
    if delay > 0.0:
        time.sleep(delay)


def _done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def _profile(config: VllmConfig) -> Profile:
    """The engine's own profile, or that of the process."""
    return load_profile(options_of(config.additional_config).profile or os.environ[ENVIRONMENT_VARIABLE])
