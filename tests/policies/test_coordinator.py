"""The coordinator, driven by hand: when calls are submitted, in which order they go out, and what it refuses."""

import pytest

from policies.app_fifo import AppFifo
from policies.coordinator import Coordinator
from policies.interface import BackendError, EventKind, Policy, PolicyError
from traces.workload import Application, Call, Workload, text

PROMPT = (text("p", 10),)
CHAIN = Application("chain", 0.0, (Call("a", PROMPT, 5), Call("b", PROMPT, 5, deps=("a",))))
DIAMOND = Application(
    "d",
    0.0,
    (
        Call("top", PROMPT, 5),
        Call("left", PROMPT, 5, deps=("top",)),
        Call("right", PROMPT, 5, deps=("top",)),
        Call("end", PROMPT, 5, deps=("left", "right")),
    ),
)


# -- progress ---------------------------------------------------------------------------------------------------------


def test_a_call_goes_out_when_its_application_arrives(gateway, single):
    assert gateway([single("x")]).arrive("x", 1.0) == (["x/c"], [])


def test_a_dependant_goes_out_when_the_last_of_its_dependencies_is_done(gateway):
    system = gateway([DIAMOND])
    assert system.arrive("d", 0.0)[0] == ["d/top"]
    assert system.finish("d/top", 1.0)[0] == ["d/left", "d/right"]
    assert system.finish("d/right", 2.0)[0] == []
    assert system.finish("d/left", 3.0)[0] == ["d/end"]
    assert system.calls["d/end"].ready_at == 3.0


def test_think_time_passes_between_ready_and_submitted(gateway):
    chain = Application("t", 0.0, (Call("a", PROMPT, 5), Call("b", PROMPT, 5, deps=("a",), delay=2.0)))
    system = gateway([chain])
    system.arrive("t", 0.0)
    assert system.finish("t/a", 1.0) == ([], ["t/b"])
    assert (system.calls["t/b"].ready_at, system.calls["t/b"].submitted_at) == (1.0, 3.0)
    assert system.submit("t/b", 3.0) == (["t/b"], [])


def test_a_client_that_runs_the_graph_pays_the_network_before_every_call(gateway):
    system = gateway([CHAIN], orchestration="client", network_latency=[0.25, 0.5])
    assert system.arrive("chain", 0.0) == ([], ["chain/a"])
    system.submit("chain/a", 0.25)
    assert system.finish("chain/a", 1.0) == ([], ["chain/b"])
    assert system.calls["chain/b"].submitted_at == 1.5


def test_a_service_that_runs_the_graph_pays_the_network_once(gateway):
    system = gateway([CHAIN], orchestration="service", network_latency=[0.25, 0.5])
    assert system.arrive("chain", 0.0) == ([], ["chain/a"])
    system.submit("chain/a", 0.25)
    assert system.finish("chain/a", 1.0) == (["chain/b"], [])


# -- order and limits -------------------------------------------------------------------------------------------------


def test_a_window_holds_calls_back_until_one_is_done(gateway, single):
    system = gateway([single(name) for name in "xyz"], window=1)
    assert system.arrive_all() == ["x/c"]
    assert system.finish("x/c", 1.0)[0] == ["y/c"]
    assert system.calls["y/c"].dispatched_at == 1.0


def test_calls_of_lower_rank_go_first_and_equal_ones_as_they_were_submitted(gateway, single):
    apps = [single("w"), single("x", priority=2), single("y", priority=1), single("z", priority=1)]
    system = gateway(apps, window=1)
    system.arrive_all()
    order = [system.finish(name, 1.0)[0] for name in ("w/c", "y/c", "z/c")]
    assert order == [["y/c"], ["z/c"], ["x/c"]]


def test_the_oldest_application_goes_first_whatever_became_ready_first(gateway, single):
    system = gateway([CHAIN, single("x", arrival=1.0)], AppFifo(), window=1)
    system.arrive("chain", 0.0)
    system.arrive("x", 1.0)
    assert system.finish("chain/a", 2.0)[0] == ["chain/b"]


def test_a_call_that_is_held_is_offered_again_and_logged_once(gateway, single, scripted):
    policy = scripted({"x": None})
    system = gateway([single(name) for name in "xyz"], policy)
    assert system.arrive_all() == ["y/c", "z/c"]
    policy.routes["x"] = 0
    assert system.finish("y/c", 1.0)[0] == ["x/c"]
    log = system.coordinator.decisions.frame(system.coordinator.calls)
    assert list(zip(log.app, log.outcome, log.engine, strict=True)) == [
        ("x", "hold", -1),
        ("y", "dispatch", 0),
        ("z", "dispatch", 0),
        ("x", "dispatch", 0),
    ]


def test_a_held_call_does_not_stop_those_behind_it(gateway, single, scripted):
    system = gateway([single("x"), single("y")], scripted({"x": None}))
    assert system.arrive_all() == ["y/c"]


def test_of_one_hold_class_only_the_first_is_asked_about_in_a_round(gateway, single, scripted):
    class Classed(scripted):
        def hold_class(self, call):
            return call.stage

    policy = Classed(default=None)
    system = gateway([single("w", stage="m"), single("x", stage="m"), single("y", stage="n")], policy)
    system.arrive_all()
    policy.asked.clear()
    system.coordinator.first_token(system.calls["w/c"], 1.0)
    assert policy.asked == ["w", "y"]


def test_a_policy_that_reranks_is_asked_for_its_order_in_every_round(gateway, single):
    class LastFirst(Policy):
        reranks = True
        urgent = None

        def rank(self, call, now):
            return call.app_id != self.urgent

    policy = LastFirst()
    system = gateway([single(name) for name in "xyz"], policy, window=1)
    system.arrive_all()
    policy.urgent = "z"
    assert system.finish("x/c", 1.0)[0] == ["z/c"]


def test_views_are_live_unless_staleness_is_allowed(gateway, single, scripted):
    for staleness, loads in ((0.0, [[0], [1], [2]]), (1.0, [[0], [0], [2]])):
        policy = scripted()
        system = gateway([single(name) for name in "xyz"], policy, view_staleness=staleness)
        for name, now in (("x", 0.0), ("y", 0.5), ("z", 1.5)):
            system.arrive(name, now)
        assert policy.seen_loads == loads


def test_a_call_sent_by_a_stale_view_to_an_engine_that_is_full_is_held(gateway, single, scripted):
    policy = scripted()
    system = gateway([single("x"), single("y")], policy, num_engines=2, window=1, view_staleness=10.0)
    assert system.arrive_all() == ["x/c"]
    assert system.finish("x/c", 1.0)[0] == ["y/c"]


# -- observation ------------------------------------------------------------------------------------------------------


def test_a_policy_that_observes_is_told_everything_in_order(gateway):
    class Observer(Policy):
        def __init__(self):
            self.seen = []

        def observe(self, event):
            self.seen.append((event.kind, event.at, event.call and event.call.call_id, event.engine_id))

    policy = Observer()
    system = gateway([CHAIN], policy)
    system.arrive("chain", 1.0)
    system.coordinator.first_token(system.calls["chain/a"], 2.0)
    system.finish("chain/a", 3.0)
    assert policy.seen == [
        (EventKind.APPLICATION_ARRIVED, 1.0, None, None),
        (EventKind.CALL_SUBMITTED, 1.0, "a", None),
        (EventKind.CALL_DISPATCHED, 1.0, "a", 0),
        (EventKind.FIRST_TOKEN, 2.0, "a", 0),
        (EventKind.CALL_FINISHED, 3.0, "a", 0),
        (EventKind.CALL_SUBMITTED, 3.0, "b", None),
        (EventKind.CALL_DISPATCHED, 3.0, "b", 0),
    ]


def test_the_length_of_an_output_is_told_when_it_is_known(gateway):
    class Observer(Policy):
        def __init__(self):
            self.lengths = []

        def observe(self, event):
            self.lengths.append((event.kind, event.num_output_tokens))

    policy = Observer()
    system = gateway([CHAIN], policy)
    system.arrive("chain", 1.0)
    system.finish("chain/a", 3.0)
    told = [(kind, length) for kind, length in policy.lengths if length is not None]
    assert told == [(EventKind.CALL_FINISHED, 5)]


# -- views ------------------------------------------------------------------------------------------------------------


def test_a_group_is_the_calls_that_the_same_calls_wait_for(gateway):
    calls = gateway([DIAMOND]).calls
    groups = {name: calls[f"d/{name}"].group for name in ("top", "left", "right", "end")}
    assert groups == {"top": ("top",), "left": ("left", "right"), "right": ("left", "right"), "end": ("end",)}


def test_a_call_inherits_the_deadlines_of_what_depends_on_it(gateway):
    chain = Application("t", 1.0, (Call("a", PROMPT, 5), Call("b", PROMPT, 5, deps=("a",), deadline=8.0)))
    system = gateway([chain, CHAIN])
    assert system.calls["t/a"].deadline_at is None
    assert system.calls["t/a"].earliest_deadline_at == 9.0
    assert system.calls["chain/a"].earliest_deadline_at is None


def test_the_oracle_weighs_the_longest_chain_and_what_is_left_of_an_application(gateway):
    """Every call has 10 prompt and 5 output tokens, so it weighs 20 when an output token counts 2."""
    system = gateway([DIAMOND])
    oracle = system.calls["d/left"].oracle
    assert (oracle.remaining_path(2.0), oracle.remaining_application(2.0)) == (40.0, 80.0)
    system.arrive("d", 0.0)
    system.finish("d/top", 1.0)
    assert (oracle.remaining_path(1.0), oracle.remaining_application(1.0)) == (30.0, 45.0)


# -- who is told ------------------------------------------------------------------------------------------------------


def test_only_a_policy_that_observes_wants_first_tokens(gateway, single):
    class Observer(Policy):
        def observe(self, event):
            pass

    assert gateway([single("x")], Observer()).coordinator.wants_first_tokens
    assert not gateway([single("x")]).coordinator.wants_first_tokens


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_the_end_of_a_call_that_was_never_dispatched_is_refused(gateway, single):
    with pytest.raises(BackendError, match="call x/c: finished while blocked"):
        gateway([single("x")]).finish("x/c", 1.0)


def test_a_second_end_of_a_call_is_refused(gateway, single):
    system = gateway([single("x")])
    system.arrive("x", 0.0)
    system.finish("x/c", 1.0)
    with pytest.raises(BackendError, match="call x/c: finished while finished"):
        system.finish("x/c", 2.0)


@pytest.mark.parametrize("engine_id", [-1, 2])
def test_a_policy_that_names_an_engine_that_does_not_exist_is_refused(gateway, single, scripted, engine_id):
    system = gateway([single("x")], scripted({"x": engine_id}), num_engines=2)
    with pytest.raises(PolicyError, match=rf"call x/c: route returned {engine_id}, .* engine id, an int from 0 to 1"):
        system.arrive("x", 0.0)


def test_a_policy_that_names_a_full_engine_is_refused(gateway, single, scripted):
    system = gateway([single("x"), single("y")], scripted(), num_engines=2, window=1)
    with pytest.raises(PolicyError, match="call y/c: route returned engine 0, whose window of 1 call is full"):
        system.arrive_all()


def test_a_coordinator_without_engines_is_refused(single):
    with pytest.raises(ValueError, match="must name at least one engine"):
        Coordinator(Workload("w", (single("x"),)), Policy(), [])


def test_a_negative_staleness_is_refused(gateway, single):
    with pytest.raises(ValueError, match=r"view_staleness=-1\.0 must not be negative"):
        gateway([single("x")], view_staleness=-1.0)
