"""What the tests of the simulator share: small workloads of every shape, clusters to run them on, round step costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import strategies as st

from policies.app_fifo import AppFifo
from policies.compose import compose
from policies.coordinator import Coordinator
from policies.engines import EngineState
from policies.fifo import Fifo
from policies.gateway import Gateway
from policies.network import NetworkLatency, parse_network_latency
from policies.power_of_two import PowerOfTwo
from policies.prefix_affinity import PrefixAffinity
from policies.round_robin import RoundRobin
from policies.stage_priority import StagePriority
from sim.clock import Clock
from sim.cluster import Cluster
from sim.engine import Engine
from sim.profile import CurveTable, Overheads, Terms, load_profile
from sim.request import Request
from sim.run import SimulatedCluster, simulate
from sim.settings import EngineSettings
from sim.step_cost import NO_LAUNCH, UNSHARED, Launch, Sharing
from traces.workload import Application, Call, Workload, num_prompt_tokens, output_of, text

TICK = 2.0**-6  # seconds; a power of two, so that sums are exact and arrivals can fall on the end of a step

#: Policies are made anew for each run, because some of them remember or draw.
POLICIES = (
    Fifo,
    AppFifo,
    RoundRobin,
    PowerOfTwo,
    lambda: StagePriority({"a": 2, "b": 1}),
    lambda: PrefixAffinity(2),
    lambda: compose(StagePriority(), PrefixAffinity()),
)


def _profiles():
    """The shipped H100 profile; without host time; with steps of exactly one tick."""
    measured = load_profile("h100-llama-13b")
    nothing = CurveTable((0,), (0.0,))
    ticks = Terms(CurveTable((0,), (TICK,)), nothing, nothing, nothing, *[0.0] * 6)
    bare = msgspec.structs.replace(measured, overheads=Overheads())
    return measured, bare, msgspec.structs.replace(bare, terms=ticks)


MEASURED, BARE, TICKING = _profiles()


def _on_ticks(call):
    return msgspec.structs.replace(call, delay=round(call.delay / TICK) * TICK)


@dataclass
class Scenario:
    """One drawn run, without its mode; `policy` makes a policy."""

    workload: Workload
    policy: object
    settings: EngineSettings
    profile: object
    num_engines: int
    gateway: Gateway

    def run(self, *, skip=True):
        cluster = SimulatedCluster(self.profile, self.num_engines, self.settings, skip=skip)
        return simulate(self.workload, self.policy(), cluster, self.gateway)

    def on_ticks(self):
        """The same run with every instant a whole number of ticks."""
        applications = tuple(
            msgspec.structs.replace(
                app, arrival=round(app.arrival / TICK) * TICK, calls=tuple(map(_on_ticks, app.calls))
            )
            for app in self.workload.applications
        )
        workload = msgspec.structs.replace(self.workload, applications=applications)
        gateway = replace(self.gateway, network_latency=NetworkLatency("fixed", (TICK,)))
        return replace(self, workload=workload, profile=TICKING, gateway=gateway)

    def roomy(self, **limits):
        """The same run without delays in the engine, with memory enough to preempt nobody and `limits` replaced."""
        profile = BARE if self.profile is MEASURED else self.profile
        return replace(self, profile=profile, settings=replace(self.settings, num_blocks=20_000, **limits))

    def with_engines(self):
        """The same run wired by hand, so that its engines can be looked at afterwards: (calls, engines)."""
        clock, engines, settings = Clock(), [], self.settings
        states = [
            EngineState(
                number,
                num_blocks=settings.num_blocks,
                block_size=settings.block_size,
                max_num_seqs=settings.max_num_seqs,
                window=self.gateway.window,
            )
            for number in range(self.num_engines)
        ]
        cost = self.profile.step_cost(settings.async_scheduling)

        def make_engines(listener):
            engines.extend(Engine(state.engine_id, settings, cost, clock, listener) for state in states)
            return engines

        cluster = Cluster(clock, Coordinator(self.workload, self.policy(), states), make_engines)
        cluster.run()
        return cluster.frames()["calls"], engines


# -- strategies -------------------------------------------------------------------------------------------------------

SHARED_TEXTS = st.builds(text, st.sampled_from(("s", "t")), st.sampled_from((3, 16, 17, 40, 64)))
OUTPUTS = st.one_of(st.integers(1, 6), st.integers(1, 90))


@st.composite
def prompts(draw, name, before):
    """Shared or own texts, and outputs of the calls `before`, in any order."""
    own = st.builds(text, st.just(name), st.integers(1, 70))
    parts = [SHARED_TEXTS, SHARED_TEXTS, own]
    if before:
        parts.append(st.sampled_from(before).map(output_of))
    return tuple(draw(st.lists(st.one_of(parts), min_size=1, max_size=3)))


@st.composite
def graphs(draw, app_id):
    """Up to five calls, each after some of the earlier ones."""
    calls = []
    for number in range(draw(st.integers(1, 5))):
        ids = [call.id for call in calls]
        deps = tuple(draw(st.lists(st.sampled_from(ids), unique=True, max_size=3))) if ids else ()
        prompt = draw(prompts(f"{app_id}.{number}", deps))
        stage, priority = draw(st.sampled_from("ab")), draw(st.integers(0, 2))
        delay = draw(st.sampled_from((0.0, 0.0, TICK, 0.3)))
        calls.append(Call(str(number), prompt, draw(OUTPUTS), stage, deps, delay, priority=priority))
    return tuple(calls)


@st.composite
def chats(draw, app_id):
    """Up to four turns; the prompt of each is the prompt and the output of the one before, and more text."""
    prompt, calls = (draw(SHARED_TEXTS),), []
    for turn in range(draw(st.integers(2, 4))):
        deps = (str(turn - 1),) if turn else ()
        prompt = (*prompt, *map(output_of, deps), text(f"{app_id}.{turn}", draw(st.integers(1, 40))))
        calls.append(Call(str(turn), prompt, draw(OUTPUTS), "a", deps, draw(st.sampled_from((0.0, 0.2)))))
    return tuple(calls)


@st.composite
def workloads(draw):
    """Up to eight applications that arrive within a second, often together or on a tick."""
    applications = []
    for number in range(draw(st.integers(1, 8))):
        app_id = f"app{number}"
        arrival = draw(st.one_of(st.just(0.0), st.integers(0, 64).map(lambda tick: tick * TICK), st.floats(0.0, 1.0)))
        applications.append(Application(app_id, arrival, draw(st.one_of(graphs(app_id), chats(app_id)))))
    return Workload("drawn", tuple(applications))


def longest_call(workload):
    """Most prompt and output tokens of a call."""
    longest = 0
    for application in workload.applications:
        outputs = {call.id: call.output_tokens for call in application.calls}
        longest = max(longest, *(num_prompt_tokens(call, outputs) + call.output_tokens for call in application.calls))
    return longest


@st.composite
def engine_settings(draw, workload):
    """Limits that every call fits, from memory for just one call up to plenty."""
    longest, block_size = longest_call(workload), draw(st.sampled_from((1, 4, 16)))
    num_needed = 1 - (1 - longest) // block_size  # the last token needs no memory, the null block holds nothing
    chunked = draw(st.booleans())
    budgets = (2, 9, 40, 200) if chunked else (longest, 2 * longest)
    return EngineSettings(
        num_blocks=max(2, num_needed + draw(st.sampled_from((0, 2, 10, 40, 1000)))),
        block_size=block_size,
        max_num_seqs=draw(st.sampled_from((1, 4, 256, 256))),
        max_num_batched_tokens=draw(st.sampled_from(budgets)),
        max_model_len=longest,
        enable_prefix_caching=draw(st.booleans()),
        enable_chunked_prefill=chunked,
        async_scheduling=draw(st.booleans()),
        scheduling_policy=draw(st.sampled_from(("fcfs", "priority"))),
        long_prefill_token_threshold=draw(st.sampled_from((0, 0, 5, 30))),
        scheduler_reserve_full_isl=draw(st.booleans()),
        watermark=draw(st.sampled_from((0.0, 0.0, 0.1))),
    )


def gateways():
    latencies = map(parse_network_latency, ("0", "0", "0.015625", "exponential:0.05"))
    return st.builds(
        Gateway,
        window=st.sampled_from((0, 0, 1, 3)),
        orchestration=st.sampled_from(("client", "service")),
        network_latency=st.sampled_from(tuple(latencies)),
        view_staleness=st.sampled_from((0.0, 0.0, 0.125)),
    )


@st.composite
def drawn_scenarios(draw):
    workload = draw(workloads())
    policy, profile = draw(st.sampled_from(POLICIES)), draw(st.sampled_from((MEASURED, BARE, TICKING)))
    limits = draw(engine_settings(workload))
    return Scenario(workload, policy, limits, profile, draw(st.integers(1, 3)), draw(gateways()))


@pytest.fixture(scope="session")
def scenarios():
    """Strategy of `Scenario`."""
    return drawn_scenarios()


@pytest.fixture(scope="session")
def ticks():
    """Seconds of a step of `new_scenario`."""
    return TICK


@pytest.fixture(scope="session")
def ticking():
    """A profile whose steps take a tick each, without delays."""
    return TICKING


@pytest.fixture(scope="session")
def new_scenario():
    """Scenarios whose steps take a tick each."""

    def make(workload, policy, limits, num_engines, gateway):
        return Scenario(workload, policy, limits, TICKING, num_engines, gateway)

    return make


# -- one engine by hand -----------------------------------------------------------------------------------------------


class RoundCost:
    """10 ms a step and 1 ms a prefill token; decoding adds nothing."""

    def step(
        self,
        num_decodes: int,
        num_context_tokens: int,
        prefills: Sequence[tuple[int, int]],
        sharing: Sharing = UNSHARED,
    ) -> float:
        return 0.010 + 0.001 * sum(new for new, _ in prefills)

    def decode_run(self, num_decodes: int, num_context_tokens: int, sharing: Sharing = UNSHARED) -> tuple[float, float]:
        return 0.010, 0.0

    def launch(self, num_decodes: int, num_tokens: int) -> Launch:
        return NO_LAUNCH

    def sustained_slowdown(self) -> float:
        return 0.0


@pytest.fixture(scope="session")
def round_cost():
    return RoundCost()


@pytest.fixture(scope="session")
def new_request():
    """Requests by name, prompt and output tokens, with content of their own unless a path is given."""

    def make(name, prompt, output=1, *, path=(), priority=0):
        return Request(SimpleNamespace(name=name), prompt, output, path, priority)

    return make
