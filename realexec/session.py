"""A coroutine run to its end in the main thread, with Ctrl-C and SIGTERM as its cancellation."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def run(coroutine: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine in an event loop of its own; its result.

    Raises
    ------
    KeyboardInterrupt
        When a signal came and the coroutine did not deal with its cancellation.

    Notes
    -----
    Every signal cancels, also the second: where it meets the end of a run, the engines still get to stop.
    """

    async def cancelled_by_signals() -> _Result:
        task = asyncio.current_task()
        assert task is not None  # this is one
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await coroutine

    try:
        return asyncio.run(cancelled_by_signals())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
