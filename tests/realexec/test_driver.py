"""The driver without faults: the records of a real run obey what those of a simulated one obey."""

import sys
from collections import Counter
from itertools import accumulate

import pytest

from policies.gateway import Gateway
from policies.interface import EventKind, Policy
from policies.load import find_policy_class, policy_names
from policies.network import NetworkLatency
from policies.round_robin import RoundRobin
from realexec.fake import Script
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.records import CALL_COLUMNS, DECISION_COLUMNS, STEP_COLUMNS, read_run, write_run
from traces.workload import Application, Call, Workload, num_calls, text

pytestmark = pytest.mark.usefixtures("virtual_time")

INSTANTS = ["app_arrived_at", "ready_at", "submitted_at", "dispatched_at", "first_token_at", "finished_at"]
COMMON = {"workload", "versions", "started_at", "backend", "complete", "policy", "num_engines", "engine_settings"} | {
    "window",
    "orchestration",
    "network_latency",
    "view_staleness",
    "seeds",
    "warnings",
}
POLICIES = [name for name in policy_names() if name != "compose"]


def burst(num_apps, **fields):
    apps = [Application(str(n), 0.0, (Call("c", (text(str(n), 20),), 11, **fields),)) for n in range(num_apps)]
    return Workload("burst", tuple(apps))


def test_every_call_has_a_row_whose_instants_are_in_order(measured, map_reduces, quick):
    run = measured(map_reduces, [quick] * 2)
    assert (run.calls.status == "ok").all()
    assert len(run.calls) == num_calls(map_reduces)
    assert (run.calls[INSTANTS].diff(axis=1).iloc[:, 1:] >= 0.0).all(axis=None)
    assert (run.calls.scheduled_at >= run.calls.dispatched_at).all()
    assert run.manifest["complete"] is True


def test_the_tables_have_the_columns_of_every_backend_and_survive_a_file(measured, map_reduces, quick, tmp_path):
    records = measured(map_reduces, [quick]).records
    write_run(tmp_path, records)
    again = read_run(tmp_path)
    for name, columns in (("calls", CALL_COLUMNS), ("steps", STEP_COLUMNS), ("decisions", DECISION_COLUMNS)):
        assert tuple(getattr(again, name).columns) == columns
        assert (getattr(again, name).dtypes == getattr(records, name).dtypes).all()


def test_columns_have_the_types_that_the_simulator_gives_them(measured, map_reduces, quick):
    profile = load_profile("h100-llama-13b")
    simulated = simulate(map_reduces, find_policy_class("fifo")(), SimulatedCluster(profile, 1, settings_of(profile)))
    real = measured(map_reduces, [quick]).records
    for name in ("calls", "steps", "decisions"):
        assert dict(getattr(real, name).dtypes) == dict(getattr(simulated, name).dtypes)


def test_a_manifest_has_what_every_backend_s_has(measured, map_reduces, quick):
    profile = load_profile("h100-llama-13b")
    simulated = simulate(map_reduces, find_policy_class("fifo")(), SimulatedCluster(profile, 1, settings_of(profile)))
    real = measured(map_reduces, [quick]).manifest
    assert real.keys() & simulated.manifest.keys() >= COMMON
    assert real["workload"] == simulated.manifest["workload"]
    assert real["engine_settings"]["num_blocks"] == 4096


def test_dependants_wait_for_what_they_depend_on_and_carry_its_output(measured, map_reduces, quick):
    run = measured(map_reduces, [quick])
    requests = {
        request.extra_args["app_id"] + request.extra_args["call_id"]: request for request in run.engines[0].requests
    }
    ends = run.calls[run.calls.stage == "map"].groupby("app").finished_at.max()
    starts = run.calls[run.calls.stage == "reduce"].set_index("app").ready_at
    assert (starts >= ends).all()
    assert all(len(requests[f"{n}r"].prompt_token_ids) == 40 + 4 * 11 for n in range(8))
    assert requests["0r"].prompt_token_ids[:40] == requests["1m0"].prompt_token_ids[:40]
    assert requests["0r"].prompt_token_ids[40:] != requests["1r"].prompt_token_ids[40:]


def test_think_time_and_network_pass_before_a_call_is_submitted(measured, chain, quick):
    gateway = Gateway(network_latency=NetworkLatency("fixed", (0.03,)))
    calls = measured(chain(2, delay=0.02), [quick], gateway=gateway).calls
    assert (calls.submitted_at - calls.ready_at).tolist() == pytest.approx([0.05, 0.05], abs=1e-6)
    assert calls.ready_at[1] == calls.finished_at[0]


def test_real_and_simulated_calls_wait_the_same_network_latencies(measured, chain, quick):
    gateway = Gateway(network_latency=NetworkLatency("uniform", (0.0, 0.4)), seed=7)
    profile = load_profile("h100-llama-13b")
    policy = find_policy_class("fifo")()
    simulated = simulate(chain(), policy, SimulatedCluster(profile, 1, settings_of(profile)), gateway).calls
    real = measured(chain(), [quick], gateway=gateway).calls
    waits = [(calls.submitted_at - calls.ready_at).tolist() for calls in (real, simulated)]
    assert waits[0] == pytest.approx(waits[1], abs=1e-6)


def test_the_window_bounds_the_calls_at_an_engine(measured, quick):
    run = measured(burst(12), [quick] * 2, gateway=Gateway(window=2))
    for _, calls in run.calls.groupby("engine"):
        later = calls.sort_values("dispatched_at").dispatched_at.iloc[2:].to_numpy()
        assert (later >= calls.sort_values("finished_at").finished_at.iloc[:-2].to_numpy()).all()


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_drives_real_engines(measured, map_reduces, quick, name):
    run = measured(map_reduces, [quick] * 3, policy=find_policy_class(name)(), gateway=Gateway(window=3))
    assert (run.calls.status == "ok").all()


def test_old_views_are_renewed_while_calls_are_held(measured, quick):
    run = measured(burst(6), [quick] * 2, policy=RoundRobin(), gateway=Gateway(window=1, view_staleness=0.005))
    assert (run.calls.status == "ok").all()


def test_a_policy_that_learns_hears_of_first_tokens_in_order(measured, chain, quick):
    heard = []

    class Listening(Policy):
        def observe(self, event):
            heard.append((event.kind, event.at))

    calls = measured(chain(1), [quick], policy=Listening()).calls
    kinds = [kind for kind, _ in heard]
    assert kinds[-2:] == [EventKind.FIRST_TOKEN, EventKind.CALL_FINISHED]
    assert heard[-2][1] >= calls.first_token_at[0]
    assert [at for _, at in heard] == sorted(at for _, at in heard)


def test_ranks_reach_engines_that_order_by_priority_as_integers_in_the_same_order(measured, quick):
    requests = measured(burst(6), [quick], policy=find_policy_class("app-fifo")()).engines[0].requests
    labels = [request.priority for request in requests]
    assert labels == sorted(labels)
    assert len(set(labels)) == 6


def test_equal_outputs_of_different_applications_are_reported(measured, quick):
    apps = [Application(n, 0.0, (*_same_question(), _follow_up())) for n in "ab"]
    assert measured(Workload("w", tuple(apps)), [quick]).manifest["warnings"] == [
        "1 outputs that later prompts contain were equal to those of other applications; they may hit the prefix cache "
        "where real text would not"
    ]


def _same_question():
    return (Call("q", (text("question", 20),), 11),)


def _follow_up():
    from traces.workload import output_of

    return Call("f", (text("system", 20), output_of("q")), 11, deps=("q",))


def test_the_work_of_a_call_does_not_grow_with_the_number_in_flight(measured):
    """Counted in function calls, which are the same on every machine."""

    def work(window):
        counts = Counter()
        sys.setprofile(lambda frame, event, argument: counts.update((event,)))
        try:
            run = measured(burst(1000), [Script(0.2, 0.02)] * 4, gateway=Gateway(window=window))
        finally:
            sys.setprofile(None)
        assert (run.calls.status == "ok").all()
        return counts["call"] + counts["c_call"], most_in_flight(run.calls)

    (few, fewest), (many, most) = work(5), work(250)
    assert (fewest, most) == (20, 1000)
    assert many < 1.1 * few


def most_in_flight(calls):
    ends = sorted([(at, 1) for at in calls.dispatched_at] + [(at, -1) for at in calls.finished_at])
    return max(accumulate(change for _, change in ends))
