"""Engines that stay up between runs."""

import asyncio

from policies.interface import Policy
from realexec.fake import FakeEngine
from realexec.kept import KeptEngine, release_all
from realexec.run import RealCluster, measure
from traces.records import RunRecords
from traces.workload import Application, Call, Workload, text


class ResettableFake(FakeEngine):
    """Counts how often it was started and emptied."""

    num_starts = 0
    num_resets = 0

    async def start(self):
        self.num_starts += 1
        return await super().start()

    async def reset(self) -> None:
        self.num_resets += 1


def workload() -> Workload:
    return Workload("two", tuple(Application(f"a{i}", 0.0, (Call("c", (text(f"p{i}", 8),), 4),)) for i in range(2)))


def two_runs(backend: ResettableFake) -> list[RunRecords]:
    kept = KeptEngine(backend)

    async def run() -> list[RunRecords]:
        records = [await measure(workload(), Policy(), RealCluster([kept])) for _ in range(2)]
        assert backend.is_running
        await release_all([kept])
        return records

    return asyncio.run(run())


def test_an_engine_is_started_for_the_first_run_and_emptied_for_the_next() -> None:
    backend = ResettableFake(0)
    two_runs(backend)
    assert (backend.num_starts, backend.num_resets, backend.is_running) == (1, 1, False)


def test_each_run_has_the_requests_of_its_own() -> None:
    first, second = two_runs(ResettableFake(0))
    for records in (first, second):
        assert records.manifest["complete"]
        assert (records.calls["status"] == "ok").all()
        assert (records.calls["scheduled_at"] >= records.calls["dispatched_at"]).all()
