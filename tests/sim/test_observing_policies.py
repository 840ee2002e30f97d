"""A policy that observes hears of every call in the order of time, whatever engine serves it."""

import pytest

from policies.interface import Event, EventKind, Policy
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.generators.chain import concurrent_chains


class Listening(Policy):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> None:
        self.events.append(event)


@pytest.mark.parametrize("name", ["h100-llama-13b", "a100-llama-13b-vllm-2023"])
def test_first_tokens_are_observed_when_the_client_has_them(name: str) -> None:
    policy, profile = Listening(), load_profile(name)
    calls = simulate(concurrent_chains(3), policy, SimulatedCluster(profile, 2, settings_of(profile))).calls
    seen = [event.at for event in policy.events]
    first_tokens = [event.at for event in policy.events if event.kind is EventKind.FIRST_TOKEN]
    assert seen == sorted(seen)
    assert sorted(first_tokens) == sorted(calls["first_token_at"])
