"""The start of an idle engine."""

from policies.fifo import Fifo
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.workload import Application, Call, Workload, text


def test_a_first_step_shorter_than_the_wake_up_ends_at_its_own_end_in_both_modes():
    profile = load_profile("h100-llama-13b")
    workload = Workload("w", (Application("a", 0.0, (Call("c", (text("s", 3),), 1),)),))
    ends = []
    for skip in (True, False):
        cluster = SimulatedCluster(profile, 1, settings_of(profile), skip=skip)
        ends.append(simulate(workload, Fifo(), cluster).calls.finished_at[0])
    assert ends[0] == ends[1]
