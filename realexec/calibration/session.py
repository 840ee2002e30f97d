"""A whole calibration within a budget of GPU time: an engine with asynchronous scheduling, then a synchronous one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

import pandas as pd

from realexec.calibration.continued import check_same_engine, extended, missing_points
from realexec.calibration.estimate import estimated_seconds
from realexec.calibration.loads import Extent
from realexec.calibration.measure import Notes, run_points
from realexec.calibration.plan import FULL, SMALL, SYNCHRONOUS, warm_up
from realexec.calibration.point import Limits, Point
from realexec.calibration.raw import RawMeasurement, engine_facts, joined, tables_of
from realexec.interface import EngineBackend, EngineInfo
from sim.step_cost import StepCost

#: An engine that starts again finds its compiled graphs on disk; loading and capturing stay.
_SECOND_START = 0.7

#: Kept free of the budget for stopping engines, in seconds.
_STOP_SECONDS = 15.0

EngineMaker = Callable[[bool, Path], EngineBackend]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a calibration is given.

    Parameters
    ----------
    make_engine : callable
        From asynchronous scheduling or not, and a folder, to an engine that has not started.
    cost : StepCost
        Of a similar card, to estimate how long points take.
    folder : Path
        For the engines' records and logs.
    budget : float, seconds
        Of GPU time, engine starts included. No point starts that would not end within it.
    vocab_size, tensor_parallel_size, seed : int
    small : bool
        A plan of seconds, to see that everything works.
    earlier : RawMeasurement, optional
        Of the same plan; only what it does not hold is measured.
    """

    make_engine: EngineMaker
    cost: StepCost
    folder: Path
    budget: float
    vocab_size: int
    tensor_parallel_size: int = 1
    seed: int = 0
    small: bool = False
    earlier: RawMeasurement | None = None


@dataclass(slots=True)
class Session:
    """One calibration, as far as it has come.

    Parameters
    ----------
    setup : Setup
    report : callable
        Told (text, seconds estimated to be left) as things happen.
    keep : callable
        Given what was measured so far, earlier points included, whenever an engine has stopped.
    """

    setup: Setup
    report: Callable[[str, float], None]
    keep: Callable[[RawMeasurement], None]
    _parts: list[dict[str, pd.DataFrame]] = field(default_factory=list)
    _info: EngineInfo | None = None
    _began_at: float = 0.0

    async def run(self) -> None:
        """Measure with both kinds of scheduling.

        Raises
        ------
        EngineFailure
            When an engine does not start, or is lost. What was measured before was kept.
        ValueError
            When the engine or the plan is not that of the earlier points; these are left as they are.
        """
        self._began_at = time.monotonic()
        kinds = [True, False]
        if self.setup.earlier is not None:
            kinds = [each for each in kinds if self.missing(each)]
        for async_scheduling in kinds:
            await self._measure(async_scheduling)

    @property
    def plan(self) -> list[Point]:
        """All points, whoever measured them; none before the limits of the engine are known."""
        return [point for is_async in (True, False) for point in self._planned(is_async, None)]

    @property
    def num_missing(self) -> int:
        """Points of the plan that nobody has measured."""
        measured = sum(len(part["points"]) for part in self._parts)
        return len(self.missing(True)) + len(self.missing(False)) - measured

    def missing(self, async_scheduling: bool) -> list[Point]:
        """Points that this session has to measure, in the order to run them."""
        return self._planned(async_scheduling, self.setup.earlier)

    def _planned(self, async_scheduling: bool, earlier: RawMeasurement | None) -> list[Point]:
        extent = extent_of(async_scheduling, self.setup.small)
        if (limits := self._limits()) is None:
            return []
        return missing_points(limits, extent, self.setup.seed, earlier, async_scheduling=async_scheduling)

    def _limits(self) -> Limits | None:
        """Of the first engine: KV blocks vary by a few from start to start, and the plan must not."""
        if self.setup.earlier is not None:
            return limits_of(self.setup.earlier.engine)
        return None if self._info is None else limits_of(engine_facts(self._info))

    def _raw(self) -> RawMeasurement | None:
        """All that was measured; None when this session completed no point."""
        if self._info is None or not any(len(part["points"]) for part in self._parts):
            return None
        raw = joined(self._facts(self._info), self._parts)
        return raw if self.setup.earlier is None else extended(self.setup.earlier, raw)

    def _facts(self, info: EngineInfo) -> dict[str, Any]:
        return engine_facts(
            info,
            tensor_parallel_size=self.setup.tensor_parallel_size,
            seconds=time.monotonic() - self._began_at,
            date=datetime.now(UTC).date().isoformat(),
            seed=self.setup.seed,
            small=self.setup.small,
            num_skipped_points=self.num_missing,
        )

    async def _measure(self, async_scheduling: bool) -> None:
        """Start an engine, run its points, stop it, keep what it recorded."""
        kind = "asynchronous" if async_scheduling else "synchronous"
        backend = self.setup.make_engine(async_scheduling, _new_folder(self.setup.folder / kind))
        notes = Notes()
        started_at = time.monotonic()
        self.report(f"starting an engine with {kind} scheduling", self.setup.budget)
        try:
            info = await backend.start()
            if self._info is None:
                self._info = info
            if self.setup.earlier is not None:
                check_same_engine(self.setup.earlier.engine, self._facts(info))
            start_seconds = time.monotonic() - started_at
            self.report(f"engine ready after {start_seconds:.1f} s: {info.num_blocks:,} KV blocks", 0.0)
            await self._run_points(backend, limits_of(engine_facts(info)), notes, async_scheduling, start_seconds)
        finally:
            await backend.stop()
            records = backend.records()
            self._parts.append(tables_of(notes, records.requests, records.steps, async_scheduling=async_scheduling))
            if (raw := self._raw()) is not None:
                self.keep(raw)

    async def _run_points(
        self, backend: EngineBackend, limits: Limits, notes: Notes, async_scheduling: bool, start_seconds: float
    ) -> None:
        points = self.missing(async_scheduling)
        reserve = _STOP_SECONDS
        if async_scheduling and (synchronous := self.missing(False)):
            reserve += _SECOND_START * start_seconds + self._estimate(synchronous, limits)
        deadline = self._began_at + self.setup.budget - reserve
        common: dict[str, Any] = {"async_scheduling": async_scheduling, "vocab_size": self.setup.vocab_size}
        await run_points(backend, [warm_up(limits)], Notes(), **common)
        for index, point in enumerate(points):
            left = self._estimate(points[index:], limits)
            if time.monotonic() + self._estimate([point], limits) > deadline:
                self.report(f"out of time: {len(points) - index} of {len(points)} points are not run", 0.0)
                return
            self.report(f"{index + 1}/{len(points)} {point.name}", left)
            await run_points(backend, [point], notes, **common)

    def _estimate(self, points: list[Point], limits: Limits) -> float:
        return estimated_seconds(points, self.setup.cost, limits.max_num_batched_tokens)


def extent_of(async_scheduling: bool, small: bool) -> Extent:
    """How much is measured with one kind of scheduling."""
    if async_scheduling:
        return SMALL if small else FULL
    if not small:
        return SYNCHRONOUS
    return replace(SMALL, contexts=(512,), backgrounds=((8, 512),), shared=(), mixed=())


def limits_of(engine: Mapping[str, Any]) -> Limits:
    """Limits of an engine as it reported them."""
    names = ("num_blocks", "block_size", "max_num_seqs", "max_model_len")
    values = {name: engine[name] for name in names}
    return Limits(**values, max_num_batched_tokens=engine["settings"]["max_num_batched_tokens"])


def _new_folder(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3 and so on that does not exist: earlier logs are kept."""
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    return next(each for each in chain([folder], numbered) if not each.exists())
