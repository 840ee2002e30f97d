"""vLLM in this process: one `AsyncLLM` on a GPU, a tensor-parallel group, or the virtual device.

vLLM's engine core runs in a child process. Its output, vLLM's log, goes to `engine.log` in the engine's folder, beside
what the scheduler records.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from realexec.engine_process import (
    child_environment,
    new_child,
    not_cut_short,
    output_into,
    root_cause,
    socket_folder,
    stop_processes,
)
from realexec.interface import (
    CallFailure,
    Completion,
    EngineFailure,
    EngineInfo,
    EngineProgress,
    EngineRecords,
    EngineRequest,
)
from realexec.recording import read_records
from realexec.virtual import ENVIRONMENT_VARIABLE

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from vllm.v1.engine.async_llm import AsyncLLM

#: Seconds that an engine has to leave of itself.
_STOP_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """How to build an engine.

    Parameters
    ----------
    device : "gpu" or "virtual"
    model : str
        Built-in shape (`realexec.models`), Hugging Face folder or name.
    profile : str
        Step-cost profile of the virtual device. Limits left out are then those of the measured engine.
    dtype : str
    load_format : str
        "dummy" gives random weights.
    tensor_parallel_size : int
    gpu_memory_utilization : float
    order : "gateway" or "engine"
        Where the policy's rank orders calls: only at the gateway, or in the engine's waiting queue too.
    policy : str
        "module:Class" with order "engine"; built in the engine's process from `policy_parameters`.
    policy_parameters : mapping
    limits : mapping
        Fields of `sim.settings.EngineSettings`; what is missing or None is vLLM's default.
    """

    device: Literal["gpu", "virtual"] = "gpu"
    model: str = "llama-13b"
    profile: str = "h100-llama-13b"
    dtype: str = "float16"
    load_format: str = "dummy"
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    order: Literal["gateway", "engine"] = "gateway"
    policy: str = ""
    policy_parameters: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)


class VllmEngine:
    """An engine of `realexec.interface.EngineBackend`.

    Parameters
    ----------
    engine_id : int
    options : VllmOptions
    folder : Path
        For the records and the log of this engine alone; what an earlier engine left there is replaced.
    gpu_ids : sequence of int
        Devices of this engine, as indices into `CUDA_VISIBLE_DEVICES` where that is set; all visible ones when empty.
    """

    def __init__(self, engine_id: int, options: VllmOptions, folder: Path, *, gpu_ids: Sequence[int] = ()) -> None:
        self.engine_id = engine_id
        self.progress = EngineProgress()
        self._options = options
        self._gpu_ids = gpu_ids
        self._folder = folder
        self._llm: AsyncLLM | None = None
        self._building: asyncio.Future[AsyncLLM] | None = None
        self._process: BaseProcess | None = None
        self._by_priority = False
        self._stopping = asyncio.Lock()

    @property
    def llm(self) -> AsyncLLM:
        """vLLM itself, to compare with.

        Raises
        ------
        EngineFailure
            When the engine does not run.
        """
        if self._llm is None:
            raise EngineFailure(f"engine {self.engine_id} does not run")
        return self._llm

    @property
    def failure(self) -> str | None:
        """Why the engine is lost: vLLM watches its process, also while it is idle."""
        return self._death if self._llm is not None and self._llm.errored else None

    @property
    def _death(self) -> str:
        return f"engine {self.engine_id}: its process died (log: {self._log})"

    async def start(self) -> EngineInfo:
        """Start the engine's process; engines may start at the same time. See `EngineBackend.start`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            return await self._start()
        except EngineFailure:
            raise
        except Exception as error:
            cause = root_cause(error, self._log)
            raise EngineFailure(f"{cause} (log: {self._log})") from None

    @property
    def _log(self) -> Path:
        return self._folder / "engine.log"

    async def _start(self) -> EngineInfo:
        options = self._options
        virtual = {ENVIRONMENT_VARIABLE: options.profile} if options.device == "virtual" else {}
        async with child_environment(virtual | socket_folder(), self._gpu_ids):
            vllm = await asyncio.to_thread(_import_vllm)
            config = await asyncio.to_thread(vllm.build_config, self.engine_id, options, self._folder)
            loop = asyncio.get_running_loop()
            with output_into(self._log):
                self._building = loop.run_in_executor(None, vllm.build_engine, config, self.progress)
                await not_cut_short(self._watch(self._building))
            info = vllm.device_facts(options)
        self._llm = await self._building
        await self._llm.get_supported_tasks()  # vLLM remembers the answer; else every call of the first burst asks
        self._by_priority = config.scheduler_config.policy == "priority"
        resolved: EngineInfo = vllm.engine_info(config, options, info, self._log)
        return resolved

    async def _watch(self, building: asyncio.Future[AsyncLLM]) -> None:
        self._process = await new_child(building)

    async def generate(self, request: EngineRequest, on_first_token: Callable[[], None]) -> Completion:
        """Run one request to its end; see `EngineBackend.generate`.

        Notes
        -----
        vLLM streams twice: the first token, and the rest at the end (`stream_interval`), whatever the length.
        """
        llm = self.llm
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        try:
            return await self._stream(llm, request, on_first_token)
        except EngineDeadError:
            raise EngineFailure(self._death) from None
        except (EngineGenerateError, ValueError) as error:
            cause = " ".join(str(error.__cause__ or error).split())
            raise CallFailure(f"request {request.request_id}: engine {self.engine_id} refused it: {cause}") from None

    async def _stream(self, llm: AsyncLLM, request: EngineRequest, on_first_token: Callable[[], None]) -> Completion:
        from vllm.inputs import tokens_input

        from realexec.vllm_start import sampling_params

        token_ids: list[int] = []
        output = None
        prompt = tokens_input(request.prompt_token_ids)
        priority = request.priority if self._by_priority else 0
        async for output in llm.generate(prompt, sampling_params(request), request.request_id, priority=priority):
            if not token_ids:
                on_first_token()
            token_ids.extend(output.outputs[0].token_ids)
        if output is not None and output.outputs[0].finish_reason == "abort":  # not by us: that cancels this task
            raise EngineFailure(f"engine {self.engine_id}: its process was shut down (log: {self._log})")
        if output is None or len(token_ids) != request.num_output_tokens:
            raise ValueError(f"it generated {len(token_ids)} tokens of num_output_tokens={request.num_output_tokens}")
        scheduled_at = output.metrics.scheduled_ts if output.metrics is not None else None
        return Completion(token_ids, output.num_cached_tokens or 0, scheduled_at)

    async def reset(self) -> None:
        """Forget every cached prefix; no request may be running.

        Raises
        ------
        EngineFailure
            When the engine is lost.
        """
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            done = self._llm is not None and await self._llm.reset_prefix_cache()
        except EngineDeadError:
            done = False
        if not done:
            raise EngineFailure(f"engine {self.engine_id} cannot be reset: it does not run, or a request does")

    async def stop(self) -> None:
        """End the engine's processes, by force where they do not end of themselves; see `EngineBackend.stop`."""
        async with self._stopping:
            process, self._process = self._process, None
            llm, self._llm = self._llm, None
            leaving = None
            if llm is not None:
                leaving = asyncio.ensure_future(asyncio.to_thread(llm.shutdown, _STOP_TIMEOUT))
                await asyncio.wait([leaving], timeout=2 * _STOP_TIMEOUT)  # what hangs there ends with the process
            if process is not None:
                await asyncio.to_thread(stop_processes, process, 0.0 if llm is None else _STOP_TIMEOUT)
            unfinished = [each for each in (leaving, self._building) if each is not None and not each.done()]
            if unfinished:
                await asyncio.wait(unfinished, timeout=_STOP_TIMEOUT)
            if leaving is not None and leaving.done():
                leaving.result()

    def records(self) -> EngineRecords:
        """What the scheduler recorded, as far as it came; see `EngineBackend.records`."""
        return read_records(self._folder, self.engine_id)


def _import_vllm() -> Any:
    """The module that builds engines: importing vLLM takes seconds."""
    from sim.vllm_version import require_vllm

    require_vllm()
    level = os.environ.get("VLLM_LOGGING_LEVEL")
    os.environ["VLLM_LOGGING_LEVEL"] = level or "CRITICAL"  # what goes wrong here comes back as an exception
    try:
        from realexec import vllm_start
    finally:
        if level is None:
            del os.environ["VLLM_LOGGING_LEVEL"]  # the engine's process keeps a log
    return vllm_start
