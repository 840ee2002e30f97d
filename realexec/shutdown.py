"""Engines are stopped whatever happens, and one that does not end holds up neither the others nor the run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from realexec.interface import EngineBackend

#: Seconds that an engine has to stop; vLLM's needs up to 15 when it has to be killed.
STOP_LIMIT = 30.0


async def stop_engine(backend: EngineBackend) -> str | None:
    """Stop one engine; one line that says what went wrong, or None."""
    stopping = asyncio.ensure_future(backend.stop())
    await asyncio.wait([stopping], timeout=STOP_LIMIT)
    if not stopping.done():
        stopping.cancel()
        return f"engine {backend.engine_id} did not stop within {STOP_LIMIT:g} s; processes of it may be left"
    error = stopping.exception()
    return None if error is None else f"engine {backend.engine_id} did not stop in order: {error}"


async def stop_all(backends: Sequence[EngineBackend]) -> list[str]:
    """Stop engines side by side; a cancellation meanwhile does not keep the others from being stopped.

    Returns
    -------
    list of str
        What went wrong, a line for each engine.
    """
    stopping = asyncio.gather(*(stop_engine(backend) for backend in backends))
    while not stopping.done():
        try:
            await asyncio.shield(stopping)
        except asyncio.CancelledError:
            continue
    return [problem for problem in stopping.result() if problem is not None]
