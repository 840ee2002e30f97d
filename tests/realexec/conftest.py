"""Runs on fake engines, in a time of their own: no machine is too slow for them, or too fast."""

import asyncio
import selectors
import time

import pytest

from policies.fifo import Fifo
from policies.gateway import Gateway
from realexec.attempts import FaultHandling
from realexec.fake import FakeEngine, Script
from realexec.run import RealCluster, measure
from traces.workload import Application, Call, Workload, output_of, text

#: A request of 11 tokens takes 0.02 s.
QUICK = Script(time_to_first_token=0.01, time_per_token=0.001)


class Clock:
    """The time, in seconds."""

    now = 100.0


class JumpingSelector(selectors.DefaultSelector):
    """Where an event loop would wait for its next timer, the clock jumps there; all else takes no time."""

    def __init__(self, clock):
        super().__init__()
        self._clock = clock

    def select(self, timeout=None):
        ready = super().select(0.0)
        if not ready:
            assert timeout is not None, "the event loop would wait for ever"
            self._clock.now += timeout + 1e-9  # a timer is never early
        return ready


@pytest.fixture
def virtual_time(monkeypatch):
    """The clock by which event loops go, and whoever reads `time.monotonic`."""
    clock = Clock()

    class LoopPolicy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self):
            return asyncio.SelectorEventLoop(JumpingSelector(clock))

    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    asyncio.set_event_loop_policy(LoopPolicy())
    yield clock
    asyncio.set_event_loop_policy(None)


def map_reduce(number, arrival=0.0):
    """Four maps and the reduce that joins them."""
    maps = tuple(Call(f"m{n}", (text("system", 40), text(f"{number}.{n}", 30)), 11, "map") for n in range(4))
    join = Call(
        "r", (text("system", 40), *(output_of(call.id) for call in maps)), 11, "reduce", ("m0", "m1", "m2", "m3")
    )
    return Application(str(number), arrival, (*maps, join))


MAP_REDUCES = Workload("map-reduces", tuple(map_reduce(number, 0.002 * number) for number in range(8)))


class Measured:
    """One run on fake engines: its records, and the engines it left."""

    def __init__(self, workload, scripts, *, policy=None, gateway=Gateway(), stop_after=None, **handling):
        self.engines = [FakeEngine(engine_id, script) for engine_id, script in enumerate(scripts)]
        cluster = RealCluster(self.engines, FaultHandling(**handling))
        self.records = asyncio.run(self._run(workload, policy or Fifo(), cluster, gateway, stop_after))
        self.calls, self.manifest = self.records.calls, self.records.manifest
        self.status = {f"{row.app}/{row.call}": row.status for row in self.calls.itertuples()}

    @staticmethod
    async def _run(workload, policy, cluster, gateway, stop_after):
        run = asyncio.create_task(measure(workload, policy, cluster, gateway))
        if stop_after is not None:
            asyncio.get_running_loop().call_later(stop_after, run.cancel)
        return await run

    @property
    def dispatches(self):
        decisions = self.records.decisions
        return decisions[decisions.outcome == "dispatch"]

    def faults(self, kind):
        return [fault for fault in self.manifest["faults"] if fault["kind"] == kind]


@pytest.fixture
def measured():
    return Measured


@pytest.fixture
def map_reduces():
    return MAP_REDUCES


@pytest.fixture
def quick():
    return QUICK


@pytest.fixture
def chain():
    """Makes a workload of one application whose calls run one after the other."""

    def made(num_calls=3, output=11, **fields):
        ids = [f"c{number}" for number in range(num_calls)]
        calls = [
            Call(each, (text(each, 10),), output, deps=tuple(ids[number - 1 : number] if number else ()), **fields)
            for number, each in enumerate(ids)
        ]
        return Workload("chain", (Application("a", 0.0, tuple(calls)),))

    return made
