"""Jumping over boundaries at which nothing can change leaves no trace in the records."""

from collections import Counter

from hypothesis import HealthCheck, given, settings


def test_skipping_and_step_by_step_give_equal_records_to_the_last_bit(scenarios):
    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(scenario=scenarios)
    def check(scenario):
        skipping, stepping = scenario.run(skip=True), scenario.run(skip=False)
        for table in ("calls", "steps", "decisions"):
            assert getattr(skipping, table).equals(getattr(stepping, table)), table

    check()


def test_the_workloads_compared_do_preempt_hit_the_cache_wait_and_skip(scenarios):
    seen = Counter()

    @settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(scenario=scenarios)
    def count(scenario):
        records = scenario.run()
        seen["preempted calls"] += int((records.calls.num_preemptions > 0).sum())
        seen["cached calls"] += int((records.calls.num_cached_tokens > 0).sum())
        seen["calls that waited"] += int((records.calls.dispatched_at > records.calls.submitted_at).sum())
        seen["skipped steps"] += int((records.steps["count"] - 1).sum())

    count()
    assert min(seen.values()) > 0, seen
