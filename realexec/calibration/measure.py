"""Runs the points of a plan on one engine and notes what its client saw."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from realexec.calibration.point import PlannedCall, Point, Wave
from realexec.interface import EngineBackend, EngineFailure, EngineRequest
from realexec.token_ids import TokenIds

#: Between two points, so that the engine is idle when one begins.
_PAUSE = 0.02

#: Longest time without any output before an engine is given up.
_HANG_SECONDS = 120.0


@dataclass(slots=True)
class CallNote:
    """What the client saw of one call; instants of `time.monotonic()`, -1 until they come."""

    request_id: str
    point: str
    wave: int  # -1 is the background
    prefix: str  # name of the text it shares with others of the point; empty where it shares none
    num_prompt_tokens: int
    num_output_tokens: int
    dispatched_at: float = -1.0
    first_token_at: float = -1.0
    finished_at: float = -1.0


@dataclass(slots=True)
class Notes:
    """What was run so far: whole points only."""

    points: list[tuple[Point, bool, float, float]] = field(default_factory=list)  # asynchronous, from, to
    calls: list[CallNote] = field(default_factory=list)


async def run_points(
    backend: EngineBackend,
    points: Sequence[Point],
    notes: Notes,
    *,
    async_scheduling: bool,
    vocab_size: int,
    on_point: Callable[[Point], None] | None = None,
) -> None:
    """Run points one after the other; what is whole stands in `notes` even when this is interrupted.

    Raises
    ------
    EngineFailure
        When the engine is lost, or gives no output for two minutes.
    """
    mode = "async" if async_scheduling else "sync"
    for point in points:
        started_at = time.monotonic()
        calls = await _PointRun(backend, TokenIds(vocab_size), mode, point).run()
        notes.points.append((point, async_scheduling, started_at, time.monotonic()))
        notes.calls += calls
        if on_point is not None:
            on_point(point)
        await asyncio.sleep(_PAUSE)


class _PointRun:
    """One point on its way."""

    def __init__(self, backend: EngineBackend, token_ids: TokenIds, mode: str, point: Point) -> None:
        self._backend = backend
        self._point = point
        self._calls: list[CallNote] = []
        self._requests: list[list[tuple[CallNote, EngineRequest]]] = [
            [self._prepare(call, wave, f"{mode}/{point.name}/{wave}/{index}", token_ids) for index, call in calls]
            for wave, calls in _numbered((point.background, *point.waves))
        ]

    def _prepare(
        self, call: PlannedCall, wave: int, request_id: str, token_ids: TokenIds
    ) -> tuple[CallNote, EngineRequest]:
        ids = [token for name, count in call.prompt for token in token_ids.of_text(name, count)]
        prefix = call.prompt[0][0] if len(call.prompt) > 1 else ""
        note = CallNote(request_id, self._point.name, wave, prefix, len(ids), call.num_output_tokens)
        self._calls.append(note)
        return note, EngineRequest(request_id, ids, call.num_output_tokens)

    async def run(self) -> list[CallNote]:
        """Background first, then wave after wave."""
        background, *waves = self._requests
        decoding = [asyncio.Event() for _ in background]
        tasks = [
            asyncio.create_task(self._call(note, request, begun))
            for (note, request), begun in zip(background, decoding, strict=True)
        ]
        try:
            await self._whole(asyncio.gather(*(begun.wait() for begun in decoding)))
            for wave in waves:
                await self._whole(asyncio.gather(*(self._call(*each, asyncio.Event()) for each in wave)))
            await self._whole(asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
        return self._calls

    async def _whole(self, calls: asyncio.Future[list[object]]) -> None:
        try:
            async with asyncio.timeout(_HANG_SECONDS):
                await calls
        except TimeoutError:
            raise EngineFailure(
                f"engine {self._backend.engine_id}: point {self._point.name!r} gave nothing for {_HANG_SECONDS:.0f} s"
            ) from None

    async def _call(self, note: CallNote, request: EngineRequest, begun: asyncio.Event) -> None:
        def on_first_token() -> None:
            note.first_token_at = time.monotonic()
            begun.set()

        note.dispatched_at = time.monotonic()
        try:
            await self._backend.generate(request, on_first_token)
        finally:
            begun.set()
        note.finished_at = time.monotonic()


def _numbered(waves: Sequence[Wave]) -> Iterator[tuple[int, Iterator[tuple[int, PlannedCall]]]]:
    return ((wave - 1, enumerate(calls)) for wave, calls in enumerate(waves))
