"""A simulation runs the engine that a profile's costs belong to."""

import pytest

from policies.fifo import Fifo
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.generators.mapreduce import map_reduce


@pytest.mark.parametrize(
    ("name", "most_at_once"),
    [("a100-llama-13b-hf", 1), ("a100-llama-13b-vllm-2023", 15), ("a100-llama-13b-parrot", 15), ("a100-llama-13b", 15)],
)
def test_hugging_face_serves_one_call_at_a_time_and_the_others_batch(name: str, most_at_once: int) -> None:
    profile = load_profile(name)
    records = simulate(map_reduce(15), Fifo(), SimulatedCluster(profile, 1, settings_of(profile)))
    assert records.steps["num_decodes"].max() == most_at_once
    assert records.manifest["scheduler"] == profile.scheduler
