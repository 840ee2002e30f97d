"""An engine behind an OpenAI-compatible endpoint: `vllm serve` on any host.

All instants are the client's: a first token is first when it has come through the network. What only the server knows
(its steps, when a request was first scheduled, preemptions) is read from the folder in which
`realexec.scheduler` records, where the server runs with it and the folder can be read here.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path

from realexec.completions import Answer, EventStream, encode_request
from realexec.endpoint import Endpoint
from realexec.endpoint_info import LIMITS, check_health, describe, find_model, read_gauges, signs_of_life
from realexec.interface import (
    CallFailure,
    Completion,
    EngineFailure,
    EngineInfo,
    EngineProgress,
    EngineRecords,
    EngineRequest,
)
from realexec.server_records import SeenRequest, no_records, read_server_records

#: How often the server's counts are read, or its health is asked for, seconds.
_WATCH_INTERVAL = 2.0


class HttpEngine:
    """An `EngineBackend` on one endpoint.

    Parameters
    ----------
    engine_id : int
    url : str
        Such as "http://host:8000".
    model : str, optional
        Name under which it is served; the only one when left out.
    stated : mapping of str to int, optional
        Limits that the server does not tell: num_blocks, block_size, max_num_seqs, max_model_len.
    record_dir : Path, optional
        Folder in which the server's scheduler records.

    Raises
    ------
    ValueError
        When the address is not one of HTTP, or a stated limit is unknown or not positive.
    """

    def __init__(
        self,
        engine_id: int,
        url: str,
        *,
        model: str | None = None,
        stated: Mapping[str, int] | None = None,
        record_dir: Path | None = None,
    ) -> None:
        self._stated = dict(stated or {})
        for name, value in self._stated.items():
            if name not in LIMITS or value < 1:
                raise ValueError(f"engine {engine_id}: {name}={value} must be a positive one of {', '.join(LIMITS)}")
        self._engine_id = engine_id
        self._endpoint = Endpoint(engine_id, url)
        self._model = model
        self._record_dir = record_dir
        self._run = secrets.token_hex(4)  # tells this run's requests and prefixes from those of earlier ones
        self._progress = EngineProgress()
        self._num_in_flight = 0
        self._watch: asyncio.Task[None] | None = None
        self._signs: frozenset[bytes] = frozenset()
        self._failure: str | None = None
        self._seen: dict[str, SeenRequest] = {}  # by the server's id

    @property
    def engine_id(self) -> int:
        return self._engine_id

    @property
    def progress(self) -> EngineProgress:
        return self._progress

    @property
    def failure(self) -> str | None:
        """Why the server is lost, if it was while no call was in flight: calls find out by themselves."""
        return self._failure

    async def start(self) -> EngineInfo:
        """Reach the server, try it with one token, and ask for its settings.

        Raises
        ------
        EngineFailure
            When it cannot be reached, is not vLLM, or lacks the model or a setting.
        """
        self._endpoint.open()
        found = await find_model(self._endpoint, self._model)
        self._model = str(found["id"])
        try:
            answer = await self._probe()
        except CallFailure as refused:
            raise EngineFailure(str(refused)) from refused
        info = await describe(self._endpoint, found, self._stated, tells_cached_tokens=answer.num_cached_tokens >= 0)
        self._progress.last_progress_at = time.monotonic()
        self._watch = asyncio.create_task(self._watch_server())
        return info

    async def generate(self, request: EngineRequest, on_first_token: Callable[[], None]) -> Completion:
        """Run one request to its end; cancelling closes its stream, upon which vLLM aborts it.

        Raises
        ------
        EngineFailure
            When the connection is lost or the server answers with 5xx.
        CallFailure
            When the server refuses this request, or ends it early.
        """
        seen = SeenRequest(request.request_id, time.monotonic())
        self._seen[f"cmpl-{self._run}-{request.request_id}"] = seen
        self._num_in_flight += 1
        try:
            answer = await self._answer(request, seen, on_first_token)
        finally:
            self._num_in_flight -= 1
        answer.check(request)
        return Completion(answer.output_token_ids, answer.num_cached_tokens)

    async def stop(self) -> None:
        """Close every connection; the server goes on."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        await self._endpoint.close()

    def records(self) -> EngineRecords:
        """What the server's scheduler recorded of this client's run; nothing without `record_dir`."""
        if self._record_dir is None or not self._seen:
            return no_records()
        return read_server_records(self._record_dir, self._engine_id, self._seen)

    async def _answer(self, request: EngineRequest, seen: SeenRequest, on_first_token: Callable[[], None]) -> Answer:
        """Follow the stream of one request."""
        answer, events = Answer(self._endpoint.url), EventStream()
        body = encode_request(request, str(self._model), cache_salt=self._run)
        server_id = f"{self._run}-{request.request_id}"
        async with aclosing(self._endpoint.stream("/v1/completions", body, server_id)) as pieces:
            async for piece in pieces:
                num_before = len(answer.output_token_ids)
                for event in events.feed(piece):
                    answer.add(event)
                num_new = len(answer.output_token_ids) - num_before
                self._progress.last_progress_at = time.monotonic()
                self._progress.num_generated_tokens += num_new
                if num_new and not num_before:
                    seen.first_token_at = time.monotonic()
                    self._seen[answer.server_id] = seen
                    on_first_token()
        return answer

    async def _probe(self) -> Answer:
        """One token, asked for as the run will ask: with a priority and token ids."""
        request = EngineRequest("probe", [1], 1, priority=1, extra_args={"run_started_at": time.monotonic()})
        answer = await self._answer(request, SeenRequest("probe", 0.0), lambda: None)
        if answer.is_done and not answer.output_token_ids:
            raise EngineFailure(f"{self._endpoint.url}: returns no token ids (return_token_ids): not vLLM, or too old")
        self._progress.num_generated_tokens = 0
        self._seen.clear()
        return answer

    async def _watch_server(self) -> None:
        """Look regularly how the engine does: in the server's counts, or while nothing is asked of it by its health."""
        while True:
            await asyncio.sleep(_WATCH_INTERVAL)
            try:
                if self._num_in_flight:
                    await self._read_metrics()
                else:
                    await check_health(self._endpoint)
            except EngineFailure as error:
                if not self._num_in_flight:  # or else the streams tell of a lost server
                    self._failure = str(error)

    async def _read_metrics(self) -> None:
        """Keep the counts of requests, and see whether the engine works, be it for other clients while ours wait.

        A server answers whose engine hangs, so an answer alone shows no progress, unless it counts nothing.
        """
        _, metrics = await self._endpoint.ask("/metrics")
        self._progress.num_running, self._progress.num_waiting = read_gauges(metrics)
        before, self._signs = self._signs, signs_of_life(metrics)
        if self._signs != before or not self._signs:
            self._progress.last_progress_at = time.monotonic()
