"""Builds vLLM's scheduler from engine settings, without a model, a tokenizer or a device."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sim.reference import vllm_api as vllm
from sim.settings import EngineSettings

_MODEL = Path(__file__).parent / "model"


def build_scheduler(settings: EngineSettings) -> vllm.Scheduler:
    """vLLM's `AsyncScheduler` or `Scheduler` under these limits.

    Parameters
    ----------
    settings : EngineSettings
        A `max_num_batched_tokens` below `max_num_seqs` is what vLLM calls `max_num_scheduled_tokens`: it refuses the
        former and takes the latter.
    """
    with warnings.catch_warnings():  # vLLM and torch warn of the device that is not there
        warnings.simplefilter("ignore")
        config = _config(settings)
        spec = vllm.FullAttentionSpec(
            block_size=settings.block_size, num_kv_heads=1, head_size=1, dtype=vllm.torch.float32
        )
        memory = vllm.KVCacheConfig(
            num_blocks=settings.num_blocks,
            kv_cache_tensors=[],
            kv_cache_groups=[vllm.KVCacheGroupSpec(["layer"], spec)],
        )
        scheduler_class = vllm.AsyncScheduler if settings.async_scheduling else vllm.Scheduler
        return scheduler_class(
            vllm_config=config,
            kv_cache_config=memory,
            structured_output_manager=vllm.StructuredOutputManager(config),
            block_size=settings.block_size,
            log_stats=False,
        )


def block_hasher(block_size: int) -> Callable[[Any], Any]:
    """vLLM's hasher of full blocks over Python's hash of tuples, which is quick and needs no seed for integers."""
    vllm.init_none_hash(_hash)
    hasher: Callable[[Any], Any] = vllm.get_request_block_hasher(block_size, _hash)
    return hasher


def _hash(value: object) -> bytes:
    return hash(value).to_bytes(8, "little", signed=True)


def _config(settings: EngineSettings) -> vllm.VllmConfig:
    model = vllm.ModelConfig(
        model=str(_MODEL), skip_tokenizer_init=True, max_model_len=settings.max_model_len, dtype="float16"
    )
    few = settings.max_num_batched_tokens < settings.max_num_seqs
    limits = vllm.SchedulerConfig(
        max_num_seqs=settings.max_num_seqs,
        max_num_batched_tokens=max(settings.max_num_batched_tokens, settings.max_num_seqs),
        max_num_scheduled_tokens=settings.max_num_batched_tokens if few else None,
        max_model_len=settings.max_model_len,
        is_encoder_decoder=False,
        enable_chunked_prefill=settings.enable_chunked_prefill,
        policy=settings.scheduling_policy,
        long_prefill_token_threshold=min(settings.long_prefill_token_threshold, settings.max_model_len),
        scheduler_reserve_full_isl=settings.scheduler_reserve_full_isl,
        watermark=settings.watermark,
        async_scheduling=settings.async_scheduling,
    )
    cache = vllm.CacheConfig(block_size=settings.block_size, enable_prefix_caching=settings.enable_prefix_caching)
    cache.num_gpu_blocks = settings.num_blocks
    return vllm.VllmConfig(
        model_config=model, scheduler_config=limits, cache_config=cache, device_config=vllm.DeviceConfig("cpu")
    )
