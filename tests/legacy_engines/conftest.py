"""One engine on a clock with a step cost that is easy to add up, and requests with hand-made arrivals."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from sim.clock import Clock
from sim.request import Request
from sim.step_cost import NO_LAUNCH, UNSHARED, Launch, Sharing, StepCost
from sim.stepped import SteppedEngine

MS = 1e-3


class RoundCost(StepCost):
    """10 ms a step, 1 ms a decoding call, 1 us a context token, 0.1 ms a prefill token."""

    def step(
        self,
        num_decodes: int,
        num_context_tokens: int,
        prefills: Sequence[tuple[int, int]],
        sharing: Sharing = UNSHARED,
    ) -> float:
        num_new = sum(new for new, _ in prefills)
        return 10 * MS + num_decodes * MS + num_context_tokens * 1e-6 + num_new * 0.1 * MS

    def decode_run(self, num_decodes: int, num_context_tokens: int, sharing: Sharing = UNSHARED) -> tuple[float, float]:
        return self.step(num_decodes, num_context_tokens, ()), num_decodes * 1e-6

    def launch(self, num_decodes: int, num_tokens: int) -> Launch:
        return NO_LAUNCH

    def sustained_slowdown(self) -> float:
        return 0.0


class Bench:
    """Runs one engine; `finished` maps request names to the instants the listener heard."""

    def __init__(self):
        self.clock = Clock()
        self.cost = RoundCost()
        self.requests = {}
        self.finished = {}
        self.engine = None

    def request_finished(self, request, at):
        self.finished[request.call.name] = at

    def use(self, batcher_class, settings, **options):
        self.engine = SteppedEngine(0, batcher_class(settings), self.cost, self.clock, self, **options)
        return self

    def send(self, name, prompt, output, at=0.0, *, stage="call", priority=0, path=()):
        request = Request(SimpleNamespace(name=name, stage=stage), prompt, output, path, priority)
        self.requests[name] = request
        self.clock.call_at(at, lambda _: self.engine.submit(request, at))
        return self

    def run(self):
        self.clock.run()
        return self

    def steps(self):
        """(count, decodes, prefills, prefill tokens, preempted) of each logged row."""
        return [(int(r[2]), int(r[5]), int(r[7]), int(r[8]), int(r[11])) for r in self.engine.steps.table()]


def decode_seconds(contexts, batch=1):
    """Steps that read so many tokens in sum, each for `batch` calls."""
    return sum(10 * MS + batch * MS + context * 1e-6 for context in contexts)


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def new_bench():
    return Bench


@pytest.fixture
def decoding():
    return decode_seconds
