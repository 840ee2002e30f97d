"""The order in which policies of the literature send calls out, on cases small enough to follow."""

import pytest

from policies.coordinator import Coordinator
from policies.earliest_deadline import EarliestDeadline
from policies.engines import EngineState
from policies.interface import PolicyError
from policies.least_attained import LeastAttained
from policies.least_laxity import LeastLaxity
from policies.shortest_job import ShortestJob
from policies.shortest_path import ShortestPath
from policies.skip_join_mlfq import SkipJoinMlfq
from policies.work import Misprediction
from traces.workload import Application, Call, Workload, text


def call(name, prompt=10, output=10, deps=(), **fields):
    return Call(name, (text(f"{name}-{prompt}", prompt),), output, deps=deps, **fields)


def application(app_id, *calls):
    return Application(app_id, 0.0, calls)


def chain(app_id, num_calls, **fields):
    names = [f"c{n}" for n in range(num_calls)]
    calls = [call(name, deps=tuple(names[n - 1 : n] if n else ()), **fields) for n, name in enumerate(names)]
    return application(app_id, *calls)


def served(policy, *applications, seconds=None):
    """Names in the order in which one engine, a call at a time, serves applications that are all there.

    An empty application named "first" keeps the engine busy until the others have arrived.
    """
    first = application("first", call("c", output=1, predicted_output_tokens=1))
    engine = EngineState(0, num_blocks=1000, block_size=16, max_num_seqs=8, window=1)
    coordinator = Coordinator(Workload("w", (first, *applications)), policy, [engine])
    running = [
        sent for app in coordinator.applications for sent in coordinator.application_arrived(app, 0.0).dispatches
    ]
    order, now = [], 0.0
    while running:
        now += (seconds or {}).get(running[0].app_id, 1.0)
        order.append(f"{running[0].app_id}/{running[0].call_id}")
        running = coordinator.call_finished(running[0], now).dispatches
    return order[1:]


# -- shortest job, shortest path --------------------------------------------------------------------------------------


def test_the_shortest_job_counts_outputs_ten_times():
    """Work 410, 200 and 250."""
    apps = [
        application("a", call("c", 10, 40)),
        application("b", call("c", 100, 10)),
        application("c", call("c", 50, 20)),
    ]
    assert served(ShortestJob(), *apps) == ["b/c", "c/c", "a/c"]


def test_jobs_go_out_in_ascending_order_of_their_work():
    apps = [application(f"{tokens}", call("c", 1, tokens)) for tokens in (4, 8, 1, 2)]
    assert served(ShortestJob(), *apps) == ["1/c", "2/c", "4/c", "8/c"]


def test_the_shortest_job_may_trust_the_workload_s_prediction():
    apps = [
        application("long", call("c", output=90, predicted_output_tokens=5)),
        application("short", call("c", output=10, predicted_output_tokens=50)),
    ]
    assert served(ShortestJob("declared"), *apps) == ["long/c", "short/c"]


def test_a_declared_length_that_is_missing_is_refused_with_the_call():
    with pytest.raises(PolicyError, match="call a/c: lengths='declared' needs its predicted_output_tokens"):
        served(ShortestJob("declared"), application("a", call("c")))


def test_the_shortest_path_looks_past_the_call_that_is_ready():
    """The first call of "a" is the shortest, but a long one depends on it."""
    a = application("a", call("c", 10, 1), call("d", 10, 100, ("c",)))
    b = application("b", call("c", 10, 20))
    assert served(ShortestJob(), a, b) == ["a/c", "b/c", "a/d"]
    assert served(ShortestPath(), a, b) == ["b/c", "a/c", "a/d"]


def test_the_shortest_path_of_a_wide_application_is_short_but_its_work_is_not():
    wide = application("wide", *(call(f"c{n}", output=20) for n in range(3)))
    narrow = application("narrow", call("c", output=30))
    assert served(ShortestPath("path"), wide, narrow)[-1] == "narrow/c"
    assert served(ShortestPath("application"), wide, narrow)[0] == "narrow/c"


def test_a_wrong_predictor_is_wrong_by_the_error_and_alike_for_every_policy(gateway, single):
    """Standard deviation of the logarithm; 3 % is three standard errors of it at 5,000 draws (1 / sqrt(2 n) = 1 %)."""
    from numpy import log, std

    calls = list(gateway([single(str(n)) for n in range(5000)]).calls.values())
    factors = [Misprediction(0.4, seed=1)(each) for each in calls]
    assert std(log(factors)) == pytest.approx(0.4, rel=0.03)
    assert factors[::-1] == [Misprediction(0.4, seed=1)(each) for each in calls[::-1]]
    assert factors[:5] != [Misprediction(0.4, seed=2)(each) for each in calls[:5]]
    assert Misprediction(0.0, seed=1)(calls[0]) == 1.0


@pytest.mark.parametrize("policy_class", [ShortestJob, ShortestPath])
def test_impossible_errors_and_weights_are_refused(policy_class):
    with pytest.raises(ValueError, match=r"error=-0\.1 must be finite and not negative"):
        policy_class(error=-0.1)
    with pytest.raises(ValueError, match=r"output_weight=0\.0 must be positive and finite"):
        policy_class(output_weight=0.0)


# -- least attained service -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["critical-path", "total"])
def test_the_program_that_was_served_least_goes_first(service):
    """Equal programs take turns, where first come, first served would finish none before the others."""
    order = served(LeastAttained(service), chain("a", 3), chain("b", 2))
    assert order == ["a/c0", "b/c0", "a/c1", "b/c1", "a/c2"]


@pytest.mark.parametrize("service", ["critical-path", "total"])
def test_a_new_program_goes_before_one_that_has_run_for_long(service):
    order = served(LeastAttained(service), chain("old", 3, output=50), chain("new", 3, output=5))
    assert order == ["old/c0", "new/c0", "new/c1", "new/c2", "old/c1", "old/c2"]


def test_parallel_calls_count_once_along_the_path_and_each_in_the_total():
    """Three parallel calls and then another attain 110 along their path and 330 in total; "b" attains 200."""
    wide = application("a", *(call(f"c{n}") for n in range(3)), call("d", deps=("c0", "c1", "c2")))
    narrow = application("b", call("e", 10, 19), call("f", deps=("e",)))
    assert served(LeastAttained("critical-path"), wide, narrow)[-2:] == ["a/d", "b/f"]
    assert served(LeastAttained("total"), wide, narrow)[-2:] == ["b/f", "a/d"]


# -- multi-level feedback ---------------------------------------------------------------------------------------------


def test_a_call_skips_the_queues_whose_quantum_its_prefill_exceeds():
    """Quanta 100, 200 and the rest: the longest prompt came first and goes last, equals go as they came."""
    lengths = {"a": 900, "b": 150, "c": 100, "d": 101, "e": 20, "f": 5000}
    apps = [application(name, call("c", prompt)) for name, prompt in lengths.items()]
    order = served(SkipJoinMlfq(base_tokens=100, num_queues=3), *apps)
    assert [name[0] for name in order] == ["c", "e", "b", "d", "a", "f"]


def test_a_call_that_has_waited_long_enough_joins_the_highest_queue():
    apps = [application("long", call("c", 900)), *(application(f"s{n}", call("c", 20)) for n in range(4))]
    assert served(SkipJoinMlfq(100, 3), *apps)[-1] == "long/c"
    assert served(SkipJoinMlfq(100, 3, promote_after=3.0), *apps)[2] == "long/c"


@pytest.mark.parametrize("name", ["base_tokens", "num_queues", "promote_after"])
def test_a_queue_without_room_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}=0 must be positive"):
        SkipJoinMlfq(**{name: 0})


# -- deadlines --------------------------------------------------------------------------------------------------------


def test_the_earliest_deadline_goes_first_and_no_deadline_last():
    apps = [application(name, call("c", deadline=due)) for name, due in (("a", None), ("b", 9.0), ("c", 4.0))]
    assert served(EarliestDeadline(), *apps) == ["c/c", "b/c", "a/c"]


def test_a_deadline_at_the_end_of_an_application_hurries_its_first_call():
    a = application("a", call("c", deadline=6.0))
    b = application("b", call("c"), call("d", deps=("c",), deadline=5.0))
    assert served(EarliestDeadline(), a, b) == ["b/c", "b/d", "a/c"]


def test_laxity_takes_off_what_is_still_to_do():
    """Due at 10 with three calls to go leaves less to spare than due at 9 with one."""
    a = application("a", call("c", deadline=9.0))
    b = application("b", call("c"), call("d", deps=("c",)), call("e", deps=("d",), deadline=10.0))
    assert served(EarliestDeadline(), a, b)[0] == "a/c"
    assert served(LeastLaxity(seconds_per_call=1.0), a, b)[0] == "b/c"


def test_laxity_learns_how_long_a_call_takes(gateway):
    policy = LeastLaxity(seconds_per_call=100.0)
    system = gateway([chain("a", 3, deadline=20.0)], policy)
    assert policy.rank(system.calls["a/c2"], 0.0) == 20.0 - 100.0
    system.arrive("a", 0.0)
    system.finish("a/c0", 2.0)
    system.finish("a/c1", 6.0)
    assert policy.rank(system.calls["a/c2"], 6.0) == 20.0 - 3.0


def test_a_negative_time_of_a_call_is_refused():
    with pytest.raises(ValueError, match=r"seconds_per_call=-1\.0 must be finite and not negative"):
        LeastLaxity(-1.0)
