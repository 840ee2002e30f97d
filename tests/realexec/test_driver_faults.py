"""Whatever goes wrong, every call of the workload has a row that says how it ended, and the manifest says why."""

import asyncio
import time

import pytest

from policies.gateway import Gateway
from policies.interface import HOLD, Policy
from policies.load import find_policy_class, policy_names
from policies.round_robin import RoundRobin
from realexec import shutdown
from realexec.attempts import FaultHandling
from realexec.fake import FakeEngine, Script
from realexec.interface import EngineFailure
from realexec.run import RealCluster, measure
from traces.records import read_run, write_run
from traces.workload import Application, Call, Workload, num_calls, text

pytestmark = pytest.mark.usefixtures("virtual_time")

POLICIES = [name for name in policy_names() if name != "compose"]
SLOW = Script(time_to_first_token=0.02, time_per_token=0.02)
REASON = "the engine died, as its script says"


def singles(num_apps, arrival=0.0, output=11):
    apps = [Application(str(n), n * arrival, (Call("c", (text(str(n), 20),), output),)) for n in range(num_apps)]
    return Workload("singles", tuple(apps))


def dying(at, **durations):
    return Script(**({"time_to_first_token": 0.02, "time_per_token": 0.02} | durations), dies_at=at)


def endings(run):
    return run.calls.status.value_counts().to_dict()


# -- engines that are lost --------------------------------------------------------------------------------------------


def test_calls_of_an_engine_that_dies_finish_on_the_others(measured, map_reduces, quick):
    run = measured(map_reduces, [dying(0.01), quick, quick])
    assert endings(run) == {"ok": num_calls(map_reduces)}
    assert (run.calls.engine != 0).all()
    assert run.manifest["complete"] is True
    [fault] = run.faults("engine lost")
    assert (fault["engine"], fault["reason"]) == (0, REASON)
    assert 0.0 < fault["at"] < run.calls.finished_at.max()


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("window", [0, 3])
def test_every_policy_goes_on_with_the_engines_that_are_left(measured, map_reduces, quick, name, window):
    """Engine 0 dies, and 2 where it is used, so that an id is not an index any more."""
    scripts = [dying(0.01), quick, dying(0.03, time_to_first_token=0.01, time_per_token=0.001), quick]
    run = measured(map_reduces, scripts, policy=find_policy_class(name)(), gateway=Gateway(window=window))
    assert endings(run) == {"ok": num_calls(map_reduces)}
    assert 0 in [fault["engine"] for fault in run.faults("engine lost")]


def test_a_call_that_is_tried_again_has_two_decisions_and_the_row_of_its_last_attempt(measured, quick):
    run = measured(singles(2), [dying(0.01), quick])
    moved = run.calls[run.calls.call.eq("c") & run.calls.app.eq("0")].iloc[0]
    own = run.dispatches[run.dispatches.app == "0"]
    assert own.engine.tolist() == [0, 1]
    assert (moved.engine, moved.dispatched_at) == (1, own["at"].iloc[1])
    assert moved.dispatched_at > moved.submitted_at
    assert [request.request_id for request in run.engines[1].requests] == ["call-1-attempt-1", "call-0-attempt-2"]


def test_calls_that_had_shown_a_token_fail_with_their_engine_where_that_is_asked_for(measured, quick):
    started, unstarted = dying(0.2, time_to_first_token=0.01), dying(0.2, time_to_first_token=5.0)
    assert endings(measured(singles(3), [unstarted, quick, quick], on_engine_failure="fail")) == {"ok": 3}
    run = measured(singles(3), [started, quick, quick], on_engine_failure="fail")
    assert run.status["0/c"] == f"failed: engine 0 lost: {REASON}"
    assert endings(run)["ok"] == 2
    assert run.manifest["complete"] is False


def test_calls_that_had_shown_a_token_are_tried_again_by_default(measured, quick):
    run = measured(singles(3), [dying(0.2, time_to_first_token=0.01), quick, quick])
    assert endings(run) == {"ok": 3}
    assert run.faults("engine lost")[0]["num_moved"] == 1


def test_when_all_engines_die_no_call_is_lost_silently(measured, map_reduces):
    run = measured(map_reduces, [dying(0.03), dying(0.05)])
    assert set(run.calls.status) == {"failed: no engine is left"}
    assert len(run.calls) == num_calls(map_reduces)
    assert [fault["engine"] for fault in run.faults("engine lost")] == [0, 1]


def test_a_call_that_outlived_too_many_engines_is_not_tried_again(measured, quick):
    run = measured(singles(1), [dying(0.01), dying(0.03), quick], max_attempts=2)
    assert run.status == {"0/c": f"failed: engine 1 lost: {REASON}"}


def test_an_idle_engine_that_dies_gets_no_calls(measured, quick):
    """Round robin would give it the second of two calls, which comes 0.6 s later."""
    run = measured(singles(2, arrival=0.6), [quick, dying(0.1)], policy=RoundRobin(), stall_timeout=0.8)
    assert run.calls.engine.tolist() == [0, 0]
    assert run.engines[1].requests == []
    [fault] = run.faults("engine lost")
    assert (fault["engine"], fault["reason"], fault["num_moved"]) == (1, REASON, 0)


def test_a_lost_engine_is_stopped_at_once(measured, quick):
    class Noting(FakeEngine):
        async def stop(self):
            stopped_at.append(time.monotonic())
            await super().stop()

    stopped_at: list[float] = []
    engines = [Noting(0, dying(0.05)), FakeEngine(1, Script(time_per_token=0.1))]
    asyncio.run(measure(singles(2), RoundRobin(), RealCluster(engines)))
    assert stopped_at[1] - stopped_at[0] > 0.9  # the other's call lasts 1 s and begins at once


def test_an_engine_that_never_stops_does_not_hold_up_the_run(monkeypatch):
    class Stuck(FakeEngine):
        async def stop(self):
            await asyncio.sleep(3600.0)

    monkeypatch.setattr(shutdown, "STOP_LIMIT", 0.1)
    records = asyncio.run(measure(singles(2), Policy(), RealCluster([Stuck(0), FakeEngine(1)])))
    assert records.manifest["complete"] is True
    assert records.manifest["warnings"] == ["engine 0 did not stop within 0.1 s; processes of it may be left"]


def test_an_engine_that_hangs_is_taken_for_lost(measured, quick):
    hanging = Script(time_to_first_token=0.01, time_per_token=0.001, hangs_at=0.0)
    run = measured(singles(4), [hanging, quick], stall_timeout=0.3)
    assert endings(run) == {"ok": 4}
    [fault] = run.faults("engine lost")
    assert (fault["engine"], fault["reason"]) == (0, "no progress for 0.3 s")


def test_a_slow_engine_that_shows_progress_is_not_taken_for_lost(measured):
    class Ticking(FakeEngine):
        """Reports progress while it computes, as an engine does that shows no token for long."""

        async def generate(self, request, on_first_token):
            ticking = asyncio.create_task(self._tick())
            try:
                return await super().generate(request, on_first_token)
            finally:
                ticking.cancel()

        async def _tick(self):
            while True:
                self.progress.last_progress_at = time.monotonic()
                await asyncio.sleep(0.02)

    cluster = RealCluster([Ticking(0, Script(time_to_first_token=0.6))], FaultHandling(stall_timeout=0.3))
    records = asyncio.run(measure(singles(1), Policy(), cluster))
    assert (records.calls.status.tolist(), records.manifest["faults"]) == (["ok"], [])


def test_no_engine_is_taken_for_lost_because_this_process_stood_still(virtual_time):
    class Delayed(FakeEngine):
        """Half way to its answer the client's process is stopped, for a minute."""

        async def generate(self, request, on_first_token):
            asyncio.get_running_loop().call_later(0.1, self._stand_still)
            return await super().generate(request, on_first_token)

        def _stand_still(self):
            virtual_time.now += 60.0

    cluster = RealCluster([Delayed(0, Script(time_to_first_token=0.2))], FaultHandling(stall_timeout=0.3))
    records = asyncio.run(measure(singles(1), Policy(), cluster))
    assert (records.calls.status.tolist(), records.manifest["faults"]) == (["ok"], [])


def test_an_idle_engine_is_not_taken_for_lost(measured, quick):
    run = measured(singles(2, arrival=0.5), [quick, quick], stall_timeout=0.2)
    assert (endings(run), run.manifest["faults"]) == ({"ok": 2}, [])


# -- calls that fail --------------------------------------------------------------------------------------------------


def test_a_refused_call_fails_alone_and_what_depends_on_it_is_not_run(measured, map_reduces):
    refusing = Script(refuses={"call-0-attempt-1": "prompt refused"})
    run = measured(map_reduces, [refusing])
    assert run.status["0/m0"] == "failed: prompt refused"
    assert run.status["0/r"] == "not run: call m0 failed"
    assert endings(run)["ok"] == num_calls(map_reduces) - 2
    [fault] = run.faults("call failed")
    assert (fault["app"], fault["call"], fault["engine"]) == ("0", "m0", 0)


def test_a_call_beyond_its_time_limit_fails_and_leaves_its_engine(measured, chain):
    run = measured(chain(2), [SLOW], call_time_limit=0.1)
    assert run.status == {"a/c0": "failed: time limit of 0.1 s at engine 0", "a/c1": "not run: call c0 failed"}
    assert run.engines[0].progress.num_running == 0


def test_an_answer_of_the_wrong_length_is_a_failure(measured):
    class Short(FakeEngine):
        async def generate(self, request, on_first_token):
            completion = await super().generate(request, on_first_token)
            completion.output_token_ids.pop()
            return completion

    records = asyncio.run(measure(singles(1), Policy(), RealCluster([Short(0)])))
    assert records.calls.status.tolist() == ["failed: engine returned 10 of 11 output tokens"]


# -- runs that end early ----------------------------------------------------------------------------------------------


def test_a_run_beyond_its_time_limit_ends_with_a_row_for_every_call(measured, chain):
    run = measured(chain(20), [SLOW], run_time_limit=0.5)
    limit = "time limit of the run, 0.5 s"
    assert (run.status["a/c0"], run.status["a/c19"]) == ("ok", limit)
    assert set(run.calls.status) == {"ok", limit}
    assert (run.manifest["complete"], run.manifest["error"]) == (False, limit)


def test_a_cancelled_run_leaves_readable_records(measured, chain, tmp_path):
    run = measured(chain(20), [SLOW], stop_after=0.5)
    write_run(tmp_path, run.records)
    calls = read_run(tmp_path).calls
    assert (calls.status.iloc[0], calls.status.iloc[19]) == ("ok", "interrupted")
    assert calls.finished_at.isna().equals(calls.status == "interrupted")
    assert (run.manifest["complete"], run.manifest["error"]) == (False, "interrupted")
    assert not run.engines[0].is_running


def test_a_call_that_was_still_thinking_has_no_submission(measured, chain):
    calls = measured(chain(2, delay=0.3), [Script()], stop_after=0.4).calls
    assert calls.submitted_at.isna().tolist() == [False, True]
    assert calls.ready_at.notna().all()


def test_a_policy_that_holds_calls_for_ever_is_named(measured, quick):
    class Holding(Policy):
        def route(self, call, engines, now):
            return HOLD if call.app_id == "1" else 0

    run = measured(singles(2), [quick], policy=Holding())
    assert run.status == {"0/c": "ok", "1/c": "not run: held by the policy, or waiting for a call that was"}
    assert run.manifest["error"] == "1 call never ran: the policy holds 1/c and nothing is left to happen"


def test_a_policy_that_names_no_engine_stops_the_run(measured, quick):
    class Lost(Policy):
        def route(self, call, engines, now):
            return 7

    run = measured(singles(2), [quick], policy=Lost())
    assert "route returned 7, which must be HOLD or an engine id" in run.manifest["error"]
    assert endings(run) == {"interrupted": 2}


def test_a_bug_of_a_policy_stops_the_engines_and_keeps_the_records(measured, quick):
    class Buggy(Policy):
        def route(self, call, engines, now):
            return {}[call.app_id]

    run = measured(singles(1), [quick], policy=Buggy())
    assert run.manifest["error"] == "KeyError: '0'"
    assert "return {}[call.app_id]" in run.manifest["traceback"]
    assert not run.engines[0].is_running


# -- engines that do not come up --------------------------------------------------------------------------------------


def test_an_engine_that_does_not_start_is_named_and_the_others_are_stopped():
    class SlowToStart(FakeEngine):
        async def start(self):
            info = await super().start()
            await asyncio.sleep(60.0)
            return info

    engines = [SlowToStart(0), FakeEngine(1, Script(start_failure="no device"))]
    with pytest.raises(EngineFailure, match=r"^engine 1 did not start: no device$"):
        asyncio.run(measure(singles(1), Policy(), RealCluster(engines)))
    assert not engines[0].is_running


def test_a_call_that_can_never_fit_an_engine_is_refused_before_anything_runs():
    engine = FakeEngine(0, max_model_len=30)
    with pytest.raises(
        ValueError, match=r"engine 0: application '0', call 'c': prompt of 20 tokens plus output_tokens=11"
    ):
        asyncio.run(measure(singles(1), Policy(), RealCluster([engine])))
    assert not engine.is_running


@pytest.mark.parametrize(
    ("field", "value"),
    [("on_engine_failure", "ignore"), ("max_attempts", 0), ("call_time_limit", 0.0), ("stall_timeout", float("inf"))],
)
def test_unusable_limits_are_refused(field, value):
    with pytest.raises(ValueError, match=f"^{field}="):
        FaultHandling(**{field: value})
