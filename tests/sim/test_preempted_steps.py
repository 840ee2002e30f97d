"""Preemptions are counted in steps and in calls alike."""

from policies.fifo import Fifo
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.workload import Application, Call, Workload, output_of, text


def test_steps_and_calls_count_the_same_preemptions():
    profile = load_profile("h100-llama-13b")
    first = (Call("0", (text("a", 4),), 1), Call("1", (text("a", 4), output_of("0"), text("b", 1)), 22, deps=("0",)))
    second = (Call("0", (text("s", 20),), 3, priority=1), Call("1", (text("t", 3),), 1))
    settings = settings_of(
        profile,
        num_blocks=28,
        block_size=1,
        max_num_seqs=4,
        max_num_batched_tokens=28,
        max_model_len=28,
        enable_prefix_caching=False,
        enable_chunked_prefill=False,
        async_scheduling=False,
        scheduling_policy="priority",
        scheduler_reserve_full_isl=False,
    )
    workload = Workload("w", (Application("x", 0.0, first), Application("y", 0.0, second)))
    records = simulate(workload, Fifo(), SimulatedCluster(profile, 1, settings))
    assert records.calls.num_preemptions.sum() == 1
    assert records.steps.num_preempted.sum() == records.calls.num_preemptions.sum()
