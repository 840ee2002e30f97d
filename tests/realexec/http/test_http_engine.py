"""Calls over HTTP to vLLM's own API server, a process on the virtual device. Its order matters: the last tests kill."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import numpy as np
import psutil
import pytest

from policies.fifo import Fifo
from policies.gateway import Gateway
from policies.interface import Event, EventKind, Policy
from policies.stage_priority import StagePriority
from realexec.attempts import FaultHandling
from realexec.endpoint import API_KEY_VARIABLE
from realexec.endpoint_info import read_gauges
from realexec.http_engine import HttpEngine
from realexec.interface import CallFailure, Completion, EngineFailure, EngineInfo, EngineRequest
from realexec.progress import RunInProgress
from realexec.run import RealCluster, measure
from traces.generators.lengths import fixed_lengths
from traces.generators.mapreduce import map_reduce
from traces.generators.single import single_calls
from traces.records import RunRecords

# All in one process: a pair of servers takes some 20 s to start.
pytestmark = pytest.mark.xdist_group("http")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "sesame")


def with_engine(server: Any, use: Callable[[HttpEngine, EngineInfo], Awaitable[Any]], **options: Any) -> Any:
    """What `use` makes of a started engine."""

    async def run() -> Any:
        engine = HttpEngine(0, server.url, **options)
        try:
            return await use(engine, await engine.start())
        finally:
            await engine.stop()

    return asyncio.run(run())


async def generate(engine: HttpEngine, name: str, num_prompt: int, num_output: int, priority: int = 0) -> Completion:
    prompt = [len(name) + position for position in range(num_prompt)]
    return await engine.generate(EngineRequest(name, prompt, num_output, priority), lambda: None)


def test_settings_are_the_servers_own_and_say_where_each_comes_from(servers: list[Any]) -> None:
    async def settings(_: HttpEngine, info: EngineInfo) -> EngineInfo:
        return info

    info = with_engine(servers[0], settings)
    assert (info.max_num_seqs, info.block_size, info.max_model_len) == (8, 16, 4096)
    assert info.settings["scheduling_policy"] == "priority"
    assert info.settings["sources"]["num_blocks"] == "read from /metrics"
    assert info.device.startswith("virtual")
    assert info.versions["vllm"].startswith("0.24.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "gpt"}, "model='gpt' is not served here; it has llama-13b"),
        ({"stated": {"max_num_seqs": 9}}, "max_num_seqs=9 was stated, but /server_info says 8"),
    ],
)
def test_what_contradicts_the_server_is_an_error_at_the_start(
    servers: list[Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(EngineFailure, match=message):
        with_engine(servers[0], lambda engine, info: asyncio.sleep(0), **options)


def test_a_missing_key_is_asked_for_by_the_name_of_its_variable(
    servers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(API_KEY_VARIABLE)
    with pytest.raises(EngineFailure, match=f"HTTP 401: Unauthorized: .* variable {API_KEY_VARIABLE}"):
        with_engine(servers[1], lambda engine, info: asyncio.sleep(0))


def test_a_server_that_is_not_there_is_named() -> None:
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    with pytest.raises(EngineFailure, match=r"http://127.0.0.1:9: connection refused"):
        with_engine(SimpleNamespace(url="http://127.0.0.1:9"), lambda engine, info: asyncio.sleep(0))


def test_lengths_are_exact(servers: list[Any]) -> None:
    async def lengths(engine: HttpEngine, _: EngineInfo) -> list[int]:
        calls = [generate(engine, f"call {count}", 40, count) for count in range(1, 41)]
        return [len(completion.output_token_ids) for completion in await asyncio.gather(*calls)]

    assert with_engine(servers[0], lengths) == list(range(1, 41))


def test_a_prefix_is_found_in_the_cache_by_its_own_run_only(servers: list[Any]) -> None:
    async def twice(engine: HttpEngine, _: EngineInfo) -> list[int]:
        return [(await generate(engine, name, 100, 2)).num_cached_tokens for name in "ab"]

    assert with_engine(servers[0], twice) == [0, 96]  # 6 blocks of 16: the last token is always computed
    assert with_engine(servers[0], twice) == [0, 96]


def test_waiting_requests_start_in_order_of_priority(servers: list[Any]) -> None:
    async def starts(engine: HttpEngine, _: EngineInfo) -> list[float]:
        blockers = [asyncio.create_task(generate(engine, f"blocker {n}", 16, 4000)) for n in range(8)]
        await counted(servers[0], num_running=8, num_waiting=0)
        calls = [asyncio.create_task(generate(engine, f"call {n}", 16, 2, priority=-n)) for n in range(24)]
        await counted(servers[0], num_running=8, num_waiting=24)
        for blocker in blockers:
            blocker.cancel()
        await asyncio.gather(*calls)
        facts = engine.records().requests
        return [facts[f"call {n}"].scheduled_at for n in range(24)]

    scheduled_at = with_engine(servers[0], starts, record_dir=servers[0].record_dir)
    assert scheduled_at == sorted(scheduled_at, reverse=True)
    assert len(set(scheduled_at)) >= 3  # of 24, at most 8 start in one step


async def counted(server: Any, num_running: int, num_waiting: int) -> None:
    """Wait until the server counts so many requests."""

    def counts() -> tuple[int, int]:
        with urlopen(server.url + "/metrics") as answer:
            return read_gauges(answer.read())

    async with asyncio.timeout(120.0):
        while await asyncio.to_thread(counts) != (num_running, num_waiting):
            await asyncio.sleep(0.05)


def test_a_refused_request_fails_alone_with_the_servers_message(servers: list[Any]) -> None:
    async def refused(engine: HttpEngine, _: EngineInfo) -> Completion:
        with pytest.raises(CallFailure, match=r"HTTP 400: This model's maximum context length is 4096 tokens[^\n]*$"):
            await generate(engine, "too long", 4000, 200)
        return await generate(engine, "next", 10, 3)

    assert len(with_engine(servers[0], refused).output_token_ids) == 3


def test_cancelling_a_call_aborts_it_in_the_engine(servers: list[Any]) -> None:
    async def running(engine: HttpEngine, _: EngineInfo) -> None:
        tasks = [asyncio.create_task(generate(engine, f"call {n}", 16, 4000)) for n in range(3)]
        await until(lambda: engine.progress.num_running == 3)
        for task in tasks[1:]:
            task.cancel()
        await until(lambda: engine.progress.num_running == 1)
        tasks[0].cancel()
        assert all(
            isinstance(each, asyncio.CancelledError) for each in await asyncio.gather(*tasks, return_exceptions=True)
        )

    with_engine(servers[0], running)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the engine's progress shows, which is read every two seconds."""
    async with asyncio.timeout(120.0):
        while not condition():
            await asyncio.sleep(0.05)


def measured(servers: list[Any], policy: Policy, num_maps: int, output_tokens: int) -> RunRecords:
    backends = [HttpEngine(n, server.url, record_dir=server.record_dir) for n, server in enumerate(servers)]
    workload = map_reduce(num_maps, chunk_tokens=200, output_tokens=output_tokens)
    return asyncio.run(measure(workload, policy, RealCluster(backends), Gateway(window=6)))


def test_a_run_on_two_endpoints_has_the_calls_and_the_steps_of_both(servers: list[Any]) -> None:
    run = measured(servers, StagePriority({"map": 6}), num_maps=16, output_tokens=20)
    assert run.manifest["complete"]
    calls = run.calls
    assert list(calls["status"].unique()) == ["ok"]
    assert (calls["dispatched_at"] <= calls["scheduled_at"]).all()
    assert (calls["scheduled_at"] < calls["first_token_at"]).all()
    for engine, own in calls.groupby("engine"):
        steps = run.steps[run.steps["engine"] == engine]
        num_computed = (own["num_prompt_tokens"] - own["num_cached_tokens"]).sum()
        assert steps["num_prefill_tokens"].sum() == num_computed
        assert steps["num_decodes"].sum() == (own["num_output_tokens"] - 1).sum()


STALL = 8.0


def one_call(backend: HttpEngine, on_start: Callable[[RunInProgress], None]) -> Awaitable[RunRecords]:
    """A run of one call, which takes its engine for lost after 8 s without progress."""
    cluster = RealCluster([backend], FaultHandling(stall_timeout=STALL))
    return measure(single_calls(fixed_lengths(64, 5, 1), np.zeros(1)), Fifo(), cluster, on_start=on_start)


class Others:
    """Clients with all places of a server, from when they are told to take them until well after a call was sent."""

    def __init__(self, engine: HttpEngine) -> None:
        self._engine = engine
        self._seated = [asyncio.Event() for _ in range(8)]
        self._tasks: list[asyncio.Task[Completion]] = []

    def begin(self, _: RunInProgress) -> None:
        for n, event in enumerate(self._seated):
            request = EngineRequest(f"other {n}", [n] * 16, 4000)
            self._tasks.append(asyncio.create_task(self._engine.generate(request, event.set)))

    async def until_seated(self) -> None:
        """Wait until they have all places; they leave them some time after the engine would be taken for lost."""
        await asyncio.gather(*(event.wait() for event in self._seated))
        for task in self._tasks:
            asyncio.get_running_loop().call_later(STALL + 1.0, task.cancel)


def test_a_server_that_works_for_other_clients_has_not_stalled(servers: list[Any]) -> None:
    async def waiting(engine: HttpEngine, _: EngineInfo) -> RunRecords:
        others = Others(engine)

        class Late(HttpEngine):
            async def generate(self, request: EngineRequest, on_first_token: Callable[[], None]) -> Completion:
                await others.until_seated()
                return await super().generate(request, on_first_token)

        return await one_call(Late(0, servers[0].url), others.begin)

    [call] = with_engine(servers[0], waiting).calls.itertuples()
    assert (call.status, call.engine) == ("ok", 0)
    assert call.first_token_at - call.dispatched_at > STALL


def test_a_server_whose_engine_hangs_is_lost_though_it_answers(servers: list[Any]) -> None:
    family = psutil.Process(servers[0].process.pid).children()
    [core] = [each for each in family if "resource_tracker" not in " ".join(each.cmdline())]
    try:
        records = asyncio.run(one_call(HttpEngine(0, servers[0].url), lambda _: core.suspend()))
    finally:
        core.resume()
    assert records.manifest["faults"][0]["reason"] == "no progress for 8 s"


def test_a_call_is_moved_when_its_server_is_killed(servers: list[Any]) -> None:
    class Killing(StagePriority):
        def observe(self, event: Event) -> None:
            if event.kind is EventKind.FIRST_TOKEN and event.engine_id == 1:
                servers[1].kill()

    records = measured(servers, Killing({"map": 6}), num_maps=24, output_tokens=150)
    assert set(records.calls["status"]) == {"ok"}
    assert [(fault["kind"], fault["engine"]) for fault in records.manifest["faults"]] == [("engine lost", 1)]


def test_every_call_in_flight_is_told_when_the_engine_behind_the_server_dies(servers: list[Any]) -> None:
    async def killed(engine: HttpEngine, _: EngineInfo) -> list[Any]:
        tasks = [asyncio.create_task(generate(engine, f"call {n}", 16, 4000)) for n in range(12)]
        await counted(servers[0], num_running=8, num_waiting=4)
        for process in psutil.Process(servers[0].process.pid).children(recursive=True):
            process.kill()
        failures = await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: engine.failure is not None)  # nothing is in flight any more
        return failures

    failures = with_engine(servers[0], killed)
    assert {type(failure) for failure in failures} == {EngineFailure}
