"""Builds vLLM's engine from options and reads back what it resolved. Importing this imports vLLM."""

from __future__ import annotations

import logging
import re
import time
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

from realexec.engine_options import EngineOptions, to_additional_config
from realexec.gpus import require_gpus
from realexec.interface import EngineFailure, EngineInfo, EngineProgress, EngineRequest
from realexec.models import list_models, resolve_model
from realexec.vllm_engine import VllmOptions
from sim.profile import load_profile
from sim.settings import EngineSettings

logging.getLogger("torch").setLevel(logging.ERROR)
with warnings.catch_warnings():  # of CUDA libraries that a machine without a GPU lacks
    warnings.simplefilter("ignore")
    import torch
    import vllm
    from vllm.config import VllmConfig
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform
    from vllm.sampling_params import RequestOutputKind, SamplingParams
    from vllm.v1.engine.async_llm import AsyncLLM
    from vllm.v1.metrics.loggers import StatLoggerBase

#: More tokens than any request has: vLLM then streams the first token and, at the end, the rest.
_STREAM_INTERVAL = 1 << 30


def build_config(engine_id: int, options: VllmOptions, folder: Path) -> VllmConfig:
    """vLLM's configuration of an engine, with Dovetail's recording scheduler.

    Raises
    ------
    EngineFailure
        When this process is bound to another device, GPUs are missing, or the model cannot be read.
    ValueError
        When vLLM refuses an option.
    """
    if (current_platform.device_name == "virtual") != (options.device == "virtual"):
        raise EngineFailure(
            f"device={options.device!r}, but vLLM in this process was first used on "
            f"{current_platform.device_name!r}; a process has one kind of device"
        )
    if options.device == "gpu":
        require_gpus(options.tensor_parallel_size)
    own = EngineOptions(
        engine_id, options.profile, str(folder.resolve()), options.policy, dict(options.policy_parameters)
    )
    arguments = AsyncEngineArgs(
        model=resolve_model(options.model),
        skip_tokenizer_init=True,
        load_format=options.load_format,
        dtype=options.dtype,
        tensor_parallel_size=options.tensor_parallel_size,
        gpu_memory_utilization=options.gpu_memory_utilization,
        stream_interval=_STREAM_INTERVAL,
        disable_log_stats=True,
        additional_config=to_additional_config(own),
        **_limits(options),
    )
    try:
        config = arguments.create_engine_config()
    except OSError as error:  # of transformers, which does not name the model
        cause = " ".join(str(error).split())
        raise EngineFailure(f"model={options.model!r} (built-in: {', '.join(list_models())}): {cause}") from None
    kind = "Recording" if options.order == "gateway" else "Policy"
    prefix = "" if config.scheduler_config.async_scheduling else "Sync"
    config.scheduler_config.scheduler_cls = f"realexec.scheduler.{prefix}{kind}Scheduler"
    return config


def _limits(options: VllmOptions) -> dict[str, Any]:
    """Engine limits as vLLM's arguments; on the virtual device the measured engine's stand for those left out."""
    limits = {name: value for name, value in options.limits.items() if value is not None}
    unknown = limits.keys() - {field.name for field in fields(EngineSettings)}
    if unknown:
        raise ValueError(f"limits[{min(unknown)!r}] is not a field of EngineSettings")
    if options.device == "virtual":
        measured = load_profile(options.profile).engine_defaults
        for name in ("block_size", "max_model_len", "max_num_seqs", "max_num_batched_tokens"):
            limits.setdefault(name, getattr(measured, name))  # the executor gives as many blocks as were measured
    if options.order == "engine":
        limits["scheduling_policy"] = "priority"
    if "num_blocks" in limits:
        limits["num_gpu_blocks_override"] = limits.pop("num_blocks")
    return limits


def build_engine(config: VllmConfig, progress: EngineProgress) -> AsyncLLM:
    """Start the engine; returns when it is ready for requests."""
    loggers = [lambda *_: _ProgressLogger(progress)]
    return AsyncLLM.from_vllm_config(config, disable_log_stats=True, stat_loggers=loggers)


def sampling_params(request: EngineRequest) -> SamplingParams:
    """Exactly so many tokens, drawn at temperature 1: requests with one prompt get different outputs."""
    count = request.num_output_tokens
    return SamplingParams(
        max_tokens=count,
        min_tokens=count,
        ignore_eos=True,
        detokenize=False,
        output_kind=RequestOutputKind.DELTA,
        extra_args=dict(request.extra_args) or None,
    )


def device_facts(options: VllmOptions) -> tuple[str, dict[str, str]]:
    """Name of the device, and versions of what runs on it; asked while the engine's devices are visible."""
    versions = {"vllm": vllm.__version__, "torch": torch.__version__}
    if options.device == "virtual":
        return f"virtual (profile {options.profile})", versions
    versions["cuda"] = str(torch.version.cuda)
    versions["driver"] = _driver_version()
    return current_platform.get_device_name(), versions


def _driver_version() -> str:
    from vllm.third_party import pynvml

    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError as error:
        return f"unknown ({error})"


def engine_info(config: VllmConfig, options: VllmOptions, device: tuple[str, dict[str, str]], log: Path) -> EngineInfo:
    """The engine's settings as vLLM resolved them."""
    limits, cache, model = config.scheduler_config, config.cache_config, config.model_config
    names = (
        "max_num_batched_tokens enable_chunked_prefill async_scheduling long_prefill_token_threshold "
        "scheduler_reserve_full_isl watermark"
    )
    settings = {name: getattr(limits, name) for name in names.split()}
    settings |= {
        "scheduling_policy": limits.policy,
        "scheduler_cls": limits.scheduler_cls,
        "enable_prefix_caching": cache.enable_prefix_caching,
        "gpu_memory_utilization": cache.gpu_memory_utilization,
        "model": options.model,
        "dtype": str(model.dtype).removeprefix("torch."),
        "load_format": str(config.load_config.load_format),
        "tensor_parallel_size": config.parallel_config.tensor_parallel_size,
        "attention_backend": _attention_backend(config, log),
        "cudagraph_mode": getattr(config.compilation_config.cudagraph_mode, "name", "NONE"),
        "cudagraph_capture_sizes": sorted(config.compilation_config.cudagraph_capture_sizes or ()),
    }
    return EngineInfo(
        cache.num_gpu_blocks, cache.block_size, limits.max_num_seqs, model.max_model_len, settings, *device
    )


def _attention_backend(config: VllmConfig, log: Path) -> str:
    """What vLLM chose, as the engine's log says; the virtual device computes no attention."""
    if config.attention_config.backend is not None:
        return str(config.attention_config.backend.name)
    found = re.search(r"Using (\S+) attention backend", log.read_text(errors="replace"))
    return found[1] if found else "none"


class _ProgressLogger(StatLoggerBase):  # type: ignore[misc]
    """Keeps `EngineProgress` up to date: vLLM calls it with every output of the engine."""

    def __init__(self, progress: EngineProgress) -> None:
        self._progress = progress

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
    ) -> None:
        progress = self._progress
        progress.last_progress_at = time.monotonic()
        if scheduler_stats is not None:
            progress.num_running = scheduler_stats.num_running_reqs
            progress.num_waiting = scheduler_stats.num_waiting_reqs
        if iteration_stats is not None:
            progress.num_generated_tokens += iteration_stats.num_generation_tokens

    def log_engine_initialized(self) -> None:
        """Nothing to say."""
