"""What is said when engines need GPUs that are not there."""

import asyncio

import pytest

from realexec.engine_process import child_environment
from realexec.gpus import require_gpus
from realexec.interface import EngineFailure


@pytest.fixture
def machine(monkeypatch):
    """Makes PyTorch see a machine: its GPUs, and CUDA's version in the build."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def make(num_gpus, cuda="13.0"):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return make


@pytest.mark.parametrize(
    ("num_gpus", "cuda", "message"),
    [
        (0, "13.0", r"^no CUDA device is visible; --device virtual needs none$"),
        (0, None, r"^PyTorch \S+ is built without CUDA, so no GPU can be used; --device virtual needs none$"),
        (2, "13.0", r"^4 GPUs are needed, visible are 2$"),
    ],
)
def test_missing_gpus_are_an_error_that_says_why(machine, num_gpus, cuda, message):
    machine(num_gpus, cuda)
    with pytest.raises(EngineFailure, match=message):
        require_gpus(4)


def test_the_variable_that_hides_gpus_is_named(machine, monkeypatch):
    machine(0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with pytest.raises(EngineFailure, match=r"visible \(CUDA_VISIBLE_DEVICES=7\)"):
        require_gpus(1)


def test_enough_gpus_are_no_error(machine):
    machine(4)
    require_gpus(4)


async def _enter(gpu_ids):
    async with child_environment({}, gpu_ids):
        pass


def test_a_gpu_beyond_the_visible_ones_is_named(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "fork")  # is set for GPUs, and would stay
    with pytest.raises(EngineFailure, match=r"^GPU 2, counted from 0, is not among CUDA_VISIBLE_DEVICES=4,5$"):
        asyncio.run(_enter([2]))
