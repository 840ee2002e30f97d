"""vLLM's own engine on the virtual device: what a backend promises (`realexec.interface.EngineBackend`)."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager, suppress

import pytest

from realexec.interface import CallFailure, EngineFailure, EngineRequest
from realexec.vllm_engine import VllmEngine, VllmOptions
from sim.vllm_version import require_vllm

TINY = VllmOptions(device="virtual", model="tiny")


@pytest.fixture(scope="module", autouse=True)
def _vllm():
    try:
        require_vllm()
    except ValueError as error:
        pytest.skip(str(error))


def running_children():
    """Children of this process that have not ended, without Python's own tracker of shared resources."""
    import psutil

    running = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if child.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(child.cmdline()):
                running.append(child)
    return running


@pytest.fixture
def engine_processes():
    """Callable: what runs that did not when the test began; servers of other tests may be up."""
    others = {child.pid for child in running_children()}
    return lambda: [child for child in running_children() if child.pid not in others]


@asynccontextmanager
async def started(*engines):
    try:
        yield await asyncio.gather(*(engine.start() for engine in engines))
    finally:
        await asyncio.gather(*(engine.stop() for engine in engines))


async def until(condition):
    """Wait for a condition; the limit only keeps a defect from holding up the tests."""
    async with asyncio.timeout(120.0):
        while not condition():
            await asyncio.sleep(0.01)


async def begun(engine, name):
    """A long call that has shown its first token, which nothing but its end can take long after."""
    first_token = asyncio.Event()
    call = asyncio.create_task(engine.generate(request(name, num_output=4000), first_token.set))
    await first_token.wait()
    return call


def request(name, num_prompt=64, num_output=8, **more):
    first = sum(name.encode()) * 100
    return EngineRequest(name, list(range(first, first + num_prompt)), num_output, **more)


def test_lengths_are_exact_and_the_first_token_is_told_once(tmp_path):
    told = []

    async def run():
        async with started(engine := VllmEngine(0, TINY, tmp_path)):
            return await asyncio.gather(
                *(engine.generate(request(f"r{n}", num_output=n), lambda n=n: told.append(n)) for n in (1, 2, 40))
            )

    completions = asyncio.run(run())
    assert [len(completion.output_token_ids) for completion in completions] == [1, 2, 40]
    assert sorted(told) == [1, 2, 40]
    assert len({tuple(completion.output_token_ids[:1]) for completion in completions}) == 3


def test_the_engine_says_what_it_resolved(tmp_path):
    async def run():
        options = VllmOptions(
            device="virtual", limits={"num_blocks": 300, "max_num_seqs": 7, "async_scheduling": False}
        )
        async with started(VllmEngine(0, options, tmp_path)) as infos:
            return infos[0]

    info = asyncio.run(run())
    assert (info.num_blocks, info.block_size, info.max_num_seqs, info.max_model_len) == (300, 16, 7, 4096)
    assert info.settings["async_scheduling"] is False
    assert info.device == "virtual (profile h100-llama-13b)"


def test_a_prompt_seen_before_comes_from_the_prefix_cache(tmp_path):
    async def run():
        async with started(engine := VllmEngine(0, TINY, tmp_path)):
            first = await engine.generate(request("same"), lambda: None)
            again = await engine.generate(EngineRequest("again", request("same").prompt_token_ids, 8), lambda: None)
        return first.num_cached_tokens, again.num_cached_tokens, engine.records().requests

    first, again, facts = asyncio.run(run())
    assert (first, again) == (0, 48)  # the last of four full blocks is computed: it gives the first token
    assert [facts[name].num_cached_tokens for name in ("same", "again")] == [0, 48]


def test_two_engines_run_side_by_side_and_leave_no_process(tmp_path, engine_processes):
    async def run():
        engines = [VllmEngine(index, TINY, tmp_path / str(index)) for index in range(2)]
        async with started(*engines):
            assert len(engine_processes()) == 2
            await asyncio.gather(*(engine.generate(request("r"), lambda: None) for engine in engines))
        return [engine.records().steps["engine"].unique().tolist() for engine in engines]

    assert asyncio.run(run()) == [[0], [1]]
    assert engine_processes() == []


def test_a_killed_process_fails_its_calls_and_keeps_its_records(tmp_path, engine_processes):
    async def run():
        async with started(engine := VllmEngine(0, TINY, tmp_path)):
            long = await begun(engine, "long")
            await until(lambda: len(engine.records().steps) > 5)
            os.kill(engine_processes()[0].pid, signal.SIGKILL)
            with pytest.raises(EngineFailure, match="engine 0: its process died"):
                await long
            with pytest.raises(EngineFailure):
                await engine.generate(request("late"), lambda: None)
        return engine.records()

    records = asyncio.run(run())
    assert engine_processes() == []
    assert len(records.steps) > 5
    assert "long" in records.requests


def test_an_idle_engine_that_dies_is_known_to_be_lost_before_it_gets_a_call(tmp_path, engine_processes):
    async def run():
        async with started(engine := VllmEngine(0, TINY, tmp_path)):
            assert engine.failure is None
            os.kill(engine_processes()[0].pid, signal.SIGKILL)
            await until(lambda: engine.failure is not None)
            return engine.failure

    assert "its process died" in asyncio.run(run())


def test_a_cancelled_call_leaves_the_engine(tmp_path):
    async def run():
        async with started(engine := VllmEngine(0, TINY, tmp_path)):
            long = await begun(engine, "long")
            await until(lambda: engine.progress.num_running == 1)
            long.cancel()
            await asyncio.wait([long])
            await engine.generate(request("next", num_output=20), lambda: None)
            return engine.records().steps["num_running"].tolist()

    assert asyncio.run(run())[-5:] == [1] * 5


def test_a_call_that_is_too_long_is_refused_alone(tmp_path):
    async def run():
        async with started(engine := VllmEngine(0, TINY, tmp_path)):
            with pytest.raises(CallFailure, match=r"request huge: engine 0 refused it: .*4096"):
                await engine.generate(request("huge", num_prompt=5000), lambda: None)
            return await engine.generate(request("next"), lambda: None)

    assert len(asyncio.run(run()).output_token_ids) == 8


@pytest.mark.parametrize("reached", ["nothing", "engine.log", "process"])
def test_a_start_that_is_cancelled_leaves_no_process(reached, tmp_path, engine_processes):
    async def run():
        engine = VllmEngine(0, TINY, tmp_path)
        start = asyncio.create_task(engine.start())
        await asyncio.sleep(0.0)
        await until(lambda: reached == "nothing" or (tmp_path / reached).exists() or engine_processes())
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        await engine.stop()

    asyncio.run(run())
    assert engine_processes() == []


def test_a_stopped_engine_may_be_stopped_again_and_fails_its_calls(tmp_path, engine_processes):
    async def run():
        engine = VllmEngine(0, TINY, tmp_path)
        await engine.stop()
        await engine.start()
        call = await begun(engine, "long")
        await engine.stop()
        await engine.stop()
        with pytest.raises(EngineFailure):
            await asyncio.wait_for(call, 120.0)

    asyncio.run(run())
    assert engine_processes() == []


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (VllmOptions(device="virtual", model="/no/such/model"), "/no/such/model"),
        (VllmOptions(device="virtual", limits={"num_blocks": 10}), "ValueError: To serve at least one request"),
        (VllmOptions(device="virtual", profile="no-such-profile"), "profile='no-such-profile' is none of"),
        (VllmOptions(device="gpu", model="tiny"), "device='gpu', but vLLM in this process was first used on 'virtual'"),
    ],
)
def test_an_engine_that_does_not_start_names_the_cause_in_one_line(options, cause, tmp_path, engine_processes):
    async def run():
        async with started(VllmEngine(3, options, tmp_path)):
            pass

    with pytest.raises(EngineFailure) as raised:
        asyncio.run(run())
    assert cause in str(raised.value)
    assert "\n" not in str(raised.value)
    assert engine_processes() == []
