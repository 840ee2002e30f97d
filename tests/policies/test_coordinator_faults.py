"""The coordinator when engines and calls fail: nothing is lost, and policies see only engines that are left."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policies.interface import BackendError, EventKind, Policy, PolicyError
from traces.workload import Application, Call, text

PROMPT = (text("p", 10),)
CHAIN = Application(
    "k", 0.0, (Call("a", PROMPT, 5), Call("b", PROMPT, 5, deps=("a",)), Call("c", PROMPT, 5, deps=("b",)))
)


def lose(system, engine_id, now=1.0, failing=None):
    """Names of the calls dispatched because an engine was lost."""
    named = {system.calls[name].index: reason for name, reason in (failing or {}).items()}
    return [
        f"{call.app_id}/{call.call_id}" for call in system.coordinator.engine_lost(engine_id, now, named).dispatches
    ]


def fail(system, name, now=1.0, reason="failed: broken"):
    return system.coordinator.call_failed(system.calls[name], now, reason)


def reasons(system):
    return {name: system.coordinator.failures.get(call.index) for name, call in system.calls.items()}


def test_calls_of_a_lost_engine_go_to_the_others(gateway, single):
    system = gateway([single(name) for name in "wxyz"], num_engines=2)
    system.arrive_all()
    assert [system.engine_of(f"{name}/c") for name in "wxyz"] == [0, 1, 0, 1]
    assert lose(system, 0) == ["w/c", "y/c"]
    assert [system.engine_of(f"{name}/c") for name in "wxyz"] == [1, 1, 1, 1]


def test_calls_of_a_lost_engine_go_before_calls_submitted_later(gateway, single):
    system = gateway([single(name) for name in "vwxyz"], num_engines=2, window=2)
    system.arrive_all()
    assert lose(system, 0) == []
    assert [system.finish(name, 2.0)[0] for name in ("w/c", "y/c", "v/c")] == [["v/c"], ["x/c"], ["z/c"]]


def test_a_call_that_goes_out_again_keeps_its_submission_and_has_two_decisions(gateway, single):
    system = gateway([single("x")], num_engines=2)
    system.arrive_all(0.5)
    lose(system, 0, now=1.5)
    call = system.calls["x/c"]
    assert (call.submitted_at, call.dispatched_at) == (0.5, 1.5)
    assert system.coordinator.decisions.frame(system.coordinator.calls).engine.tolist() == [0, 1]


def test_a_policy_that_names_a_lost_engine_is_told_so(gateway, single, scripted):
    system = gateway([single("x"), single("y")], scripted({"y": 0}, default=0), num_engines=2)
    system.arrive("x", 0.0)
    with pytest.raises(PolicyError, match="x/c: route returned engine 0, which is lost"):
        lose(system, 0)


def test_old_views_do_not_show_a_lost_engine(gateway, single):
    class First(Policy):
        def route(self, call, engines, now):
            return engines[0].engine_id

    system = gateway([single("x"), single("y")], First(), num_engines=2, view_staleness=100.0)
    system.arrive("x", 0.0)
    assert lose(system, 0) == ["x/c"]
    system.arrive("y", 2.0)
    assert system.engine_of("y/c") == 1


def test_when_the_last_engine_is_lost_every_call_that_has_not_finished_fails(gateway, single):
    system = gateway([single("x"), single("y"), CHAIN, single("late")], window=1)
    system.arrive("x", 0.0), system.arrive("y", 0.0)
    system.finish("x/c", 0.5)
    assert lose(system, 0) == []
    assert reasons(system) == {"x/c": None} | dict.fromkeys(list(system.calls)[1:], "failed: no engine is left")
    assert system.coordinator.is_done
    assert system.arrive("late", 2.0) == ([], [])


def test_a_call_that_is_not_to_be_tried_again_fails_with_its_engine(gateway, single):
    system = gateway([single("x"), single("y")], num_engines=2)
    system.arrive_all()
    assert lose(system, 0, failing={"x/c": "failed: engine 0 lost"}) == []
    assert reasons(system) == {"x/c": "failed: engine 0 lost", "y/c": None}


def test_what_depends_on_a_failed_call_is_not_run_and_names_it(gateway):
    system = gateway([CHAIN])
    system.arrive("k", 0.0)
    fail(system, "k/a")
    assert reasons(system) == {
        "k/a": "failed: broken",
        "k/b": "not run: call a failed",
        "k/c": "not run: call a failed",
    }
    assert system.coordinator.is_done


def test_a_failed_call_makes_room_at_its_engine(gateway, single):
    system = gateway([single("x"), single("y")], window=1)
    system.arrive_all()
    assert [call.app_id for call in fail(system, "x/c").dispatches] == ["y"]


def test_a_failed_call_does_not_count_as_outstanding(gateway):
    stage = Application("x", 0.0, tuple(Call(name, PROMPT, 5) for name in "abc"))
    system = gateway([stage])
    system.arrive("x", 0.0)
    fail(system, "x/a")
    assert system.calls["x/b"].num_siblings_outstanding == 1
    fail(system, "x/c")
    assert system.calls["x/b"].num_siblings_outstanding == 0


def test_a_join_does_not_run_when_one_of_its_dependencies_failed_and_the_other_finished(gateway):
    join = Application("j", 0.0, (Call("a", PROMPT, 5), Call("b", PROMPT, 5), Call("end", PROMPT, 5, deps=("a", "b"))))
    system = gateway([join])
    system.arrive("j", 0.0)
    fail(system, "j/a")
    assert system.finish("j/b", 2.0) == ([], [])
    assert reasons(system)["j/end"] == "not run: call a failed"


def test_a_call_fails_only_at_an_engine(gateway):
    system = gateway([CHAIN])
    system.arrive("k", 0.0)
    with pytest.raises(BackendError, match="call k/b: failed while blocked"):
        fail(system, "k/b")


def test_observing_policies_hear_of_failures(gateway):
    heard = []

    class Listening(Policy):
        def observe(self, event):
            heard.append((event.kind, event.call and event.call.call_id, event.engine_id))

    system = gateway([CHAIN], Listening(), num_engines=2)
    system.arrive("k", 0.0)
    lose(system, 0)
    fail(system, "k/a", 2.0)
    assert heard[2:] == [
        (EventKind.CALL_DISPATCHED, "a", 0),
        (EventKind.ENGINE_LOST, None, 0),
        (EventKind.CALL_RETURNED, "a", 0),
        (EventKind.CALL_DISPATCHED, "a", 1),
        (EventKind.CALL_FAILED, "a", 1),
        (EventKind.CALL_FAILED, "b", None),
        (EventKind.CALL_FAILED, "c", None),
    ]


def test_an_abandoned_run_says_why_for_every_call_that_has_not_ended(gateway, single):
    system = gateway([single("x"), single("y"), CHAIN])
    system.arrive("x", 0.0)
    system.finish("x/c", 1.0)
    system.coordinator.abandon("interrupted")
    assert set(list(reasons(system).values())[1:]) == {"interrupted"}
    assert system.coordinator.is_done


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the fixture is a class
@given(
    steps=st.lists(st.sampled_from(["finish", "fail", "lose", "lose and fail"]), max_size=30), window=st.integers(0, 3)
)
def test_every_call_ends_exactly_once_whatever_fails(gateway, steps, window):
    apps = [Application(str(number), 0.0, CHAIN.calls) for number in range(5)]
    system = gateway(apps, num_engines=3, window=window)
    system.arrive_all()
    for number, step in enumerate(steps, start=1):
        _disturb(system, step, float(number))
    while running := [name for name, call in system.calls.items() if call.status.value == "dispatched"]:
        system.finish(running[0], 100.0)
    coordinator = system.coordinator
    assert coordinator.is_done
    assert all((call.status.value == "failed") == (call.index in coordinator.failures) for call in coordinator.calls)
    assert all(engine.num_unfinished == engine.num_unfinished_tokens == 0 for engine in system.engines)


def _disturb(system, step, now):
    running = [call for call in system.coordinator.calls if call.status.value == "dispatched"]
    if not running:
        return
    call = running[int(now) % len(running)]
    if step == "finish":
        system.coordinator.call_finished(call, now)
    elif step == "fail":
        system.coordinator.call_failed(call, now, "failed: broken")
    else:
        failing = {each.index: "failed: engine lost" for each in running if step == "lose and fail"}
        system.coordinator.engine_lost(call.engine_id, now, failing)
