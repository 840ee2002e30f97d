"""Every name that is taken from vLLM, in one place, and the quiet in which it is imported.

vLLM warns of the CUDA libraries that a machine without a GPU lacks; the scheduler needs none of them.
"""

from __future__ import annotations

import logging
import os
import warnings

from sim.vllm_version import require_vllm

VERSION = require_vllm()

os.environ.setdefault("VLLM_LOGGING_LEVEL", "CRITICAL")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
logging.getLogger("torch").setLevel(logging.ERROR)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from vllm.config import CacheConfig, DeviceConfig, ModelConfig, SchedulerConfig, VllmConfig
    from vllm.sampling_params import SamplingParams
    from vllm.v1.core.kv_cache_utils import get_block_hash, get_request_block_hasher, init_none_hash
    from vllm.v1.core.sched.async_scheduler import AsyncScheduler
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.request import Request
    from vllm.v1.structured_output import StructuredOutputManager

__all__ = [
    "VERSION",
    "AsyncScheduler",
    "CacheConfig",
    "DeviceConfig",
    "FullAttentionSpec",
    "KVCacheConfig",
    "KVCacheGroupSpec",
    "ModelConfig",
    "ModelRunnerOutput",
    "Request",
    "SamplingParams",
    "Scheduler",
    "SchedulerConfig",
    "SchedulerOutput",
    "StructuredOutputManager",
    "VllmConfig",
    "get_block_hash",
    "get_request_block_hasher",
    "init_none_hash",
    "torch",
]
