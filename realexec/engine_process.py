"""The child process in which an engine core runs: what it inherits, how it is found, and how it ends.

Environment and standard output belong to the whole process, so they are changed only until the child exists, by one
engine at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from realexec.interface import EngineFailure

_T = TypeVar("_T")

#: Guards the environment and the standard output of this process.
_INHERITED = threading.Lock()

#: Seconds between two looks at a parent, and those that an engine has to end in order after its parent.
_PARENT_PERIOD = 1.0
_ORDERLY_END = 5.0

_DEVICES = "CUDA_VISIBLE_DEVICES"

#: What vLLM puts before a line of its log, and what an uncaught exception ends with.
_PREFIX = re.compile(r"^(\([^)]*\) )?((ERROR|CRITICAL) [-\d]+ [:\d]+ \[[^]]*\] )?")
_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception)): (.+)")


#: Bytes that vLLM adds to the folder of a socket: a slash and a UUID. The path as a whole may have 107 on Linux.
_LONGEST_SOCKET_FOLDER = 107 - 37


def socket_folder() -> dict[str, str]:
    """What to add to the environment so that the paths of vLLM's sockets are not too long for the system.

    vLLM puts them in the temporary folder, which batch systems like to nest deeply.
    """
    is_short = len(os.fsencode(tempfile.gettempdir())) <= _LONGEST_SOCKET_FOLDER
    return {} if is_short or "VLLM_RPC_BASE_PATH" in os.environ else {"VLLM_RPC_BASE_PATH": "/tmp"}


@contextlib.asynccontextmanager
async def child_environment(variables: Mapping[str, str], gpu_ids: Sequence[int]) -> AsyncIterator[None]:
    """Hold the environment that the next child inherits.

    Parameters
    ----------
    variables : mapping
        Stay set: vLLM reads them again.
    gpu_ids : sequence of int
        Indices into the devices that are visible to this process.

    Raises
    ------
    EngineFailure
        When there are not so many.
    """
    while not _INHERITED.acquire(blocking=False):  # not in a thread, which a cancelled start would leave holding it
        await asyncio.sleep(0.005)
    visible = os.environ.get(_DEVICES)
    try:
        os.environ.update(variables)
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        if not variables:
            os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"  # CUDA does not survive a fork
        if gpu_ids:
            os.environ[_DEVICES] = ",".join(_device_names(visible, gpu_ids))
        yield
    finally:
        if visible is not None:
            os.environ[_DEVICES] = visible
        elif gpu_ids:
            del os.environ[_DEVICES]
        _INHERITED.release()


def _device_names(visible: str | None, gpu_ids: Sequence[int]) -> list[str]:
    """Devices as CUDA knows them, from their places among the visible ones."""
    if not visible:
        return [str(index) for index in gpu_ids]
    names = visible.split(",")
    if max(gpu_ids) >= len(names):
        raise EngineFailure(f"GPU {max(gpu_ids)}, counted from 0, is not among {_DEVICES}={visible}")
    return [names[index] for index in gpu_ids]


@contextlib.contextmanager
def output_into(file: Path) -> Iterator[None]:
    """Let children that are created meanwhile write their standard output and error to a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with file.open("ab") as log:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
    try:
        yield
    finally:
        for descriptor, saved in zip((1, 2), kept, strict=True):
            os.dup2(saved, descriptor)
            os.close(saved)


async def new_child(building: asyncio.Future[Any]) -> BaseProcess | None:
    """The child that `building` creates, as soon as it exists; None when it ended without one."""
    before = set(multiprocessing.active_children())
    while not building.done():
        created = set(multiprocessing.active_children()) - before
        if created:
            return created.pop()
        await asyncio.sleep(0.005)
    return None


async def not_cut_short(waiting: Coroutine[Any, Any, _T]) -> _T:
    """Wait to the end, also when cancelled meanwhile; it is cancelled then."""
    task = asyncio.ensure_future(waiting)
    try:
        return await asyncio.shield(task)
    finally:
        await asyncio.wait([task])


def root_cause(error: Exception, log: Path) -> str:
    """One line that names why an engine did not start: the first exception of its log, or else this one."""
    text = log.read_text(errors="replace") if log.exists() else ""
    for line in text.splitlines():
        found = _EXCEPTION.match(_PREFIX.sub("", line).strip())
        if found:
            return f"{found[1]}: {found[2]}"
    return " ".join(str(error).split()) or type(error).__name__


def end_with_parent() -> None:
    """Have this process end soon after its parent, should that be killed: vLLM's core waits for requests for ever.

    Notes
    -----
    In a process that was not started by another Python process, nothing happens. Linux's own signal at the death of a
    parent would come when the thread ends that forked, so the parent's id is looked at instead.
    """
    if multiprocessing.parent_process() is not None:
        threading.Thread(target=_outlive, args=(os.getppid(),), daemon=True).start()


def _outlive(parent: int) -> None:
    """Wait for the end of the parent, then end this process: in order, or else by force."""
    while os.getppid() == parent:
        time.sleep(_PARENT_PERIOD)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORDERLY_END)
    os.kill(os.getpid(), signal.SIGKILL)


def stop_processes(process: BaseProcess, timeout: float) -> None:
    """Wait until a child and all its children are gone; kill what is left after `timeout` seconds."""
    import psutil

    try:
        parent = psutil.Process(process.pid)
        family = [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        family = []
    for each in psutil.wait_procs(family, timeout)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.join(timeout=1.0)
