"""Held calls are offered again when old views are renewed."""

from policies.gateway import Gateway
from policies.stage_priority import StagePriority
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.workload import Application, Call, Workload, text


def test_calls_held_on_a_stale_view_are_offered_again_when_the_view_is_renewed():
    profile = load_profile("h100-llama-13b")
    apps = tuple(Application(str(i), 0.3 * i, (Call("c", (text("s", 30),), 30),)) for i in range(2))
    cluster = SimulatedCluster(profile, 1, settings_of(profile))
    records = simulate(Workload("w", apps), StagePriority({"call": 1}), cluster, Gateway(view_staleness=0.25))
    assert (records.calls.status == "ok").all()
