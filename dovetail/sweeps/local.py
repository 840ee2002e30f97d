"""Cells on the cores of this machine."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from dovetail.sweeps.cell import Cell
from dovetail.sweeps.run_cell import Outcome, lost, run_cell


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def on_cores(cells: Sequence[Cell], num_processes: int, *, keep_records: bool) -> Iterator[tuple[int, Outcome]]:
    """Run cells in processes.

    Yields
    ------
    (index, Outcome)
        In the order in which they end.

    Notes
    -----
    A process that dies, of a lack of memory say, takes its pool with it. Those cells that ran at that moment are then
    run again one at a time, so that the one to blame is known and recorded.
    """
    waiting = list(range(len(cells)))[::-1]
    while waiting:
        running: dict[Future[Outcome], int] = {}
        try:
            with _pool(num_processes) as pool:
                while waiting or running:
                    while waiting and len(running) < num_processes:
                        index = waiting.pop()
                        running[pool.submit(run_cell, cells[index], keep_records)] = index
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        outcome = future.result()
                        yield running.pop(future), outcome
        except BrokenProcessPool:
            for index in sorted(running.values()):
                yield index, _alone(cells[index], keep_records)


def _alone(cell: Cell, keep_records: bool) -> Outcome:
    try:
        with _pool(1) as pool:
            return pool.submit(run_cell, cell, keep_records).result()
    except BrokenProcessPool:
        return lost("the process that ran this cell died; the system may have had no memory left")


@contextmanager
def _pool(num_processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with the block, and with this process however it ends."""
    # Fresh processes: a fork would copy locks of threads that are not in it.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_processes, mp_context=context, initializer=_serve_parent)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    pool.shutdown()


def _serve_parent() -> None:
    """Leave Ctrl-C to the parent, and do not outlive it: a pool's processes would wait for work for ever."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
