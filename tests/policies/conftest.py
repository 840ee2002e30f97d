"""Coordinators and workloads for tests of decisions: no clock, no simulator."""

import pytest

from policies.coordinator import Coordinator
from policies.engines import EngineState
from policies.fifo import Fifo
from policies.interface import Policy
from traces.workload import Application, Call, Workload, text


def one_call(app_id, arrival=0.0, prompt=10, output=5, **fields):
    """Application of one call named "c"."""
    return Application(app_id, arrival, (Call("c", (text(app_id, prompt),), output, **fields),))


class Gateway:
    """A coordinator driven by hand; every method returns (calls dispatched, calls to wait) as names."""

    def __init__(self, applications, policy=None, *, num_engines=1, window=0, **options):
        self.engines = [
            EngineState(i, num_blocks=100, block_size=16, max_num_seqs=8, window=window) for i in range(num_engines)
        ]
        self.policy = policy or Fifo()
        self.coordinator = Coordinator(Workload("w", tuple(applications)), self.policy, self.engines, **options)
        self.calls = {f"{call.app_id}/{call.call_id}": call for call in self.coordinator.calls}

    def arrive(self, app_id, now):
        application = next(app for app in self.coordinator.applications if app.app_id == app_id)
        return self._named(self.coordinator.application_arrived(application, now))

    def submit(self, name, now):
        return self._named(self.coordinator.call_submitted(self.calls[name], now))

    def finish(self, name, now):
        return self._named(self.coordinator.call_finished(self.calls[name], now))

    def arrive_all(self, now=0.0):
        """All applications in order; what was dispatched."""
        return [name for app in self.coordinator.applications for name in self.arrive(app.app_id, now)[0]]

    def engine_of(self, name):
        return self.calls[name].engine_id

    @staticmethod
    def _named(actions):
        return tuple([f"{call.app_id}/{call.call_id}" for call in each] for each in (actions.dispatches, actions.waits))


class Scripted(Policy):
    """Sends each call to the engine its name is mapped to; None holds it. Remembers what it was asked and told."""

    def __init__(self, routes=None, default=0):
        self.routes = dict(routes or {})
        self.default = default
        self.asked = []
        self.seen_loads = []

    def route(self, call, engines, now):
        self.asked.append(call.app_id)
        self.seen_loads.append([engine.num_unfinished for engine in engines])
        return self.routes.get(call.app_id, self.default)


@pytest.fixture
def gateway():
    return Gateway


@pytest.fixture
def single():
    return one_call


@pytest.fixture
def scripted():
    return Scripted
