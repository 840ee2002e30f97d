"""What vLLM asks of a platform before an executor exists, answered for the virtual device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vllm.platforms.interface import Platform, PlatformEnum

from realexec.virtual import ENVIRONMENT_VARIABLE

if TYPE_CHECKING:
    from vllm.config import VllmConfig

_EXECUTOR = "realexec.virtual.executor.VirtualExecutor"


class VirtualPlatform(Platform):  # type: ignore[misc]
    """A platform without kernels, whose executor only waits."""

    _enum = PlatformEnum.OOT
    device_name = "virtual"
    device_type = "cpu"
    dist_backend = "gloo"

    def is_cpu(self) -> bool:
        """Whether torch runs on the CPU: when it shuts down, vLLM would empty the caches of an accelerator."""
        return True

    @classmethod
    def get_device_name(cls, device_id: int = 0) -> str:
        """Name with the profile that gives the step times."""
        return f"virtual (profile {os.environ.get(ENVIRONMENT_VARIABLE)})"

    @classmethod
    def get_device_total_memory(cls, device_id: int = 0) -> int:
        """Bytes, which decide nothing: the executor says how much the KV cache has."""
        return 80 << 30

    @classmethod
    def is_pin_memory_available(cls) -> bool:
        """No host memory is copied."""
        return False

    @classmethod
    def import_kernels(cls) -> None:
        """There are none."""

    @classmethod
    def check_and_update_config(cls, vllm_config: VllmConfig) -> None:
        """Run steps on the virtual executor, and compile nothing."""
        from vllm.config import CompilationMode, CUDAGraphMode

        # A server on this device must be known for one: it then tells its executor at /server_info.
        os.environ.setdefault("VLLM_SERVER_DEV_MODE", "1")
        parallel = vllm_config.parallel_config
        parallel.distributed_executor_backend = _EXECUTOR
        parallel.worker_cls = "realexec.virtual.executor.NoWorker"
        parallel.disable_custom_all_reduce = True
        vllm_config.compilation_config.mode = CompilationMode.NONE
        vllm_config.compilation_config.cudagraph_mode = CUDAGraphMode.NONE
