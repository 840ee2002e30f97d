"""`--engine reference`: vLLM's scheduler under virtual time writes the native engine's records, bit for bit."""

from dataclasses import replace

import msgspec
import pandas as pd
import pytest

from policies.fifo import Fifo
from policies.gateway import Gateway
from sim.lockstep.draw import draw_case
from sim.profile import load_profile
from sim.run import SimulatedCluster, simulate
from traces.workload import Workload

PROFILE = load_profile("h100-llama-13b")


def in_seconds(workload: Workload, turn: float) -> Workload:
    """The workload of a case, whose times are turns, with times in seconds."""
    applications = []
    for application in workload.applications:
        calls = [msgspec.structs.replace(call, delay=call.delay * turn) for call in application.calls]
        arrival = application.arrival * turn
        applications.append(msgspec.structs.replace(application, arrival=arrival, calls=tuple(calls)))
    return Workload(workload.name, tuple(applications))


@pytest.mark.parametrize("seed", range(40))
def test_native_and_reference_engine_write_the_same_records(seed: int) -> None:
    case = draw_case(seed)
    workload = in_seconds(case.workload, turn=(0.0, 0.004, 0.03)[seed % 3])
    cluster = SimulatedCluster(PROFILE, 1 + seed % 2, case.settings)
    gateway = Gateway(window=(0, 3)[seed % 5 == 0])
    reference = simulate(workload, Fifo(), replace(cluster, reference=True), gateway)
    for skip in (True, False):
        native = simulate(workload, Fifo(), replace(cluster, skip=skip), gateway)
        pd.testing.assert_frame_equal(native.calls, reference.calls, check_exact=True)
        pd.testing.assert_frame_equal(native.steps, reference.steps, check_exact=True)
