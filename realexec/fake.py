"""An engine in memory with scripted durations and scripted faults: for tests, and to try a policy in real time.

It has no queue and no batch: every request takes the same time whatever else runs. What it returns is a function of the
request alone, as text would be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from realexec.interface import (
    CallFailure,
    Completion,
    EngineFailure,
    EngineInfo,
    EngineProgress,
    EngineRecords,
    EngineRequest,
    RequestFacts,
)
from realexec.token_ids import TokenIds
from traces.records import STEP_COLUMNS

_DEATH = "the engine died, as its script says"


@dataclass(frozen=True, slots=True)
class Script:
    """How a fake engine behaves.

    Parameters
    ----------
    time_to_first_token, time_per_token : float, seconds
        Of every request.
    dies_at, hangs_at : float, optional, seconds after the engine's start
        From then on every request fails with the engine, or nothing happens any more.
    start_failure : str, optional
        Why the engine does not come up.
    refuses : mapping of request id to str
        Requests that fail alone, each with its reason.
    """

    time_to_first_token: float = 0.001
    time_per_token: float = 0.0001
    dies_at: float | None = None
    hangs_at: float | None = None
    start_failure: str | None = None
    refuses: Mapping[str, str] = field(default_factory=dict)


class FakeEngine:
    """A backend (`realexec.interface.EngineBackend`) without an engine.

    Parameters
    ----------
    engine_id : int
    script : Script
    num_blocks, block_size, max_num_seqs, max_model_len : int
        Limits it reports; it does not enforce them.
    """

    def __init__(
        self,
        engine_id: int,
        script: Script = Script(),
        *,
        num_blocks: int = 4096,
        block_size: int = 16,
        max_num_seqs: int = 256,
        max_model_len: int = 4096,
    ) -> None:
        self.engine_id = engine_id
        self.progress = EngineProgress(num_running=0, num_waiting=0)
        self.requests: list[EngineRequest] = []
        self.is_running = False
        self._script = script
        self._info = EngineInfo(num_blocks, block_size, max_num_seqs, max_model_len, {}, "fake", {})
        self._facts: dict[str, RequestFacts] = {}
        self._dead: asyncio.Event = asyncio.Event()
        self._killer: asyncio.TimerHandle | None = None
        self._hangs_at = float("inf")

    @property
    def failure(self) -> str | None:
        """What every call gets to hear once the engine is dead."""
        return _DEATH if self._dead.is_set() else None

    async def start(self) -> EngineInfo:
        """Start, or fail as scripted.

        Raises
        ------
        EngineFailure
            When the script says so.
        """
        if self._script.start_failure is not None:
            raise EngineFailure(self._script.start_failure)
        self.is_running = True
        self._touch()
        if self._script.dies_at is not None:
            self._killer = asyncio.get_running_loop().call_later(self._script.dies_at, self._dead.set)
        if self._script.hangs_at is not None:
            self._hangs_at = time.monotonic() + self._script.hangs_at
        return self._info

    async def generate(self, request: EngineRequest, on_first_token: Callable[[], None]) -> Completion:
        """Wait the scripted time.

        Raises
        ------
        EngineFailure
            When the engine dies meanwhile.
        CallFailure
            When the script refuses this request.
        """
        self.requests.append(request)
        if request.request_id in self._script.refuses:
            raise CallFailure(self._script.refuses[request.request_id])
        scheduled_at = time.monotonic()
        self._facts[request.request_id] = RequestFacts(scheduled_at, 0, 0)
        self.progress.num_running += 1
        try:
            await self._pass(self._script.time_to_first_token)
            on_first_token()
            await self._pass(self._script.time_per_token * (request.num_output_tokens - 1))
        finally:
            self.progress.num_running -= 1
        self.progress.num_generated_tokens += request.num_output_tokens
        output = TokenIds().of_text(f"output of {request.prompt_token_ids}", request.num_output_tokens)
        return Completion(output, 0, scheduled_at)

    async def stop(self) -> None:
        """Stop; twice does no harm."""
        self.is_running = False
        if self._killer is not None:
            self._killer.cancel()

    def records(self) -> EngineRecords:
        """No steps, and when each request began."""
        return EngineRecords(pd.DataFrame(columns=list(STEP_COLUMNS)), self._facts)

    def _touch(self) -> None:
        self.progress.last_progress_at = time.monotonic()

    async def _pass(self, duration: float) -> None:
        """Let time pass, unless the engine dies or hangs."""
        end = time.monotonic() + duration
        if end > self._hangs_at:
            await self._died()  # a hanging engine answers only when it dies
        if self._script.dies_at is None:
            await asyncio.sleep(duration)
        else:
            await self._sleep_or_die(duration)
        self._touch()

    async def _sleep_or_die(self, duration: float) -> None:
        try:
            async with asyncio.timeout(duration):
                await self._dead.wait()
        except TimeoutError:
            return
        await self._died()

    async def _died(self) -> None:
        await self._dead.wait()
        raise EngineFailure(_DEATH)
