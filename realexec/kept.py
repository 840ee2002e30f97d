"""Engines that stay up from one run to the next: starting one takes up to a minute, a run often less."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from realexec.interface import Completion, EngineBackend, EngineInfo, EngineProgress, EngineRecords, EngineRequest


class ResettableBackend(EngineBackend, Protocol):
    """A backend that can be brought back to how it was when it had just started."""

    async def reset(self) -> None:
        """Forget every cached prefix. No request is running.

        Raises
        ------
        EngineFailure
            When the engine is lost.
        """


class KeptEngine:
    """A backend for several runs in turn: `start` only starts the engine once, `stop` leaves it up.

    Parameters
    ----------
    backend : ResettableBackend
        Not started.

    Notes
    -----
    All runs must be in one event loop, which a real engine is bound to. An engine that was lost stays lost.
    """

    def __init__(self, backend: ResettableBackend) -> None:
        self._backend = backend
        self._info: EngineInfo | None = None
        self._began_at = 0.0  # of the run, on the clock of `time.monotonic`

    @property
    def engine_id(self) -> int:
        return self._backend.engine_id

    @property
    def progress(self) -> EngineProgress:
        return self._backend.progress

    @property
    def failure(self) -> str | None:
        return self._backend.failure

    async def start(self) -> EngineInfo:
        """Start the engine for the first run, and empty its prefix cache for every other."""
        if self._info is None:
            self._info = await self._backend.start()
        else:
            await self._backend.reset()
        self._began_at = time.monotonic()
        self._backend.progress.num_generated_tokens = 0
        return self._info

    async def generate(self, request: EngineRequest, on_first_token: Callable[[], None]) -> Completion:
        """Run one request; see `EngineBackend.generate`."""
        return await self._backend.generate(request, on_first_token)

    async def stop(self) -> None:
        """Leave the engine up for the next run."""

    async def release(self) -> None:
        """Stop the engine after the last run."""
        await self._backend.stop()

    def records(self) -> EngineRecords:
        """What the engine recorded in this run alone, its steps counted from 0."""
        recorded = self._backend.records()
        steps = recorded.steps[recorded.steps["started_at"] >= self._began_at].reset_index(drop=True)
        if len(steps):
            steps["step"] -= steps["step"].iloc[0]
        requests = {key: facts for key, facts in recorded.requests.items() if facts.scheduled_at >= self._began_at}
        return EngineRecords(steps, requests)


async def release_all(engines: Sequence[KeptEngine]) -> None:
    """Stop engines, each even where another cannot be stopped.

    Raises
    ------
    ExceptionGroup
        Of what went wrong.
    """
    errors = []
    for engine in engines:
        try:
            await engine.release()
        except Exception as error:
            errors.append(error)
    if errors:
        raise ExceptionGroup("engines did not stop", errors)
