"""What holds for every run, whatever the workload, the limits and the policy."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.metrics import call_metrics
from traces.workload import num_calls

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def shifted(workload, seconds):
    applications = [msgspec.structs.replace(app, arrival=app.arrival + seconds) for app in workload.applications]
    return msgspec.structs.replace(workload, applications=tuple(applications))


@QUICK
@given(data=st.data())
def test_every_call_finishes_exactly_once(scenarios, data):
    scenario = data.draw(scenarios)
    records = scenario.run()
    assert (records.calls.status == "ok").all()
    assert len(records.calls) == num_calls(scenario.workload)
    dispatches = records.decisions[records.decisions.outcome == "dispatch"]
    assert sorted(zip(dispatches.app, dispatches.call, strict=True)) == sorted(
        zip(records.calls.app, records.calls.call, strict=True)
    )


@QUICK
@given(data=st.data())
def test_the_instants_of_a_call_are_in_order(scenarios, data):
    scenario = data.draw(scenarios)
    calls = scenario.run().calls
    assert (calls.app_arrived_at <= calls.ready_at).all()
    assert (calls.ready_at <= calls.submitted_at).all()
    assert (calls.submitted_at <= calls.dispatched_at).all()
    assert (calls.dispatched_at <= calls.scheduled_at).all()
    assert (calls.scheduled_at < calls.first_token_at).all()
    assert (calls.first_token_at <= calls.finished_at).all()


@QUICK
@given(data=st.data())
def test_the_steps_of_an_engine_follow_one_another_without_overlap(scenarios, data):
    steps = data.draw(scenarios).run().steps
    runs = steps.num_decodes + steps.num_prefills > 0  # a step that only preempts is logged too and takes no time
    assert (steps.started_at[runs] < steps.finished_at[runs]).all()
    assert (steps.num_preempted[~runs] > 0).all()
    for _, own in steps.groupby("engine"):
        assert (own.started_at.to_numpy()[1:] >= own.finished_at.to_numpy()[:-1]).all()
        assert (own.step.to_numpy()[1:] >= (own.step + own["count"]).to_numpy()[:-1]).all()


@QUICK
@given(data=st.data())
def test_no_engine_runs_more_than_its_limits_allow(scenarios, data):
    scenario = data.draw(scenarios)
    steps, limits = scenario.run().steps, scenario.settings
    assert (steps.num_decodes + steps.num_prefill_tokens <= limits.max_num_batched_tokens).all()
    assert (steps.num_decodes + steps.num_prefills <= limits.max_num_seqs).all()
    assert steps.num_free_blocks.between(0, limits.num_usable_blocks).all()


@QUICK
@given(data=st.data())
def test_all_memory_is_free_when_the_run_is_over(scenarios, data):
    calls, engines = data.draw(scenarios).with_engines()
    assert (calls.status == "ok").all()
    for engine in engines:
        assert engine.scheduler.kv_cache.num_free == engine.scheduler.kv_cache.num_blocks
        assert not engine.scheduler.running
        assert not len(engine.scheduler.waiting)


@QUICK
@given(data=st.data())
def test_without_preemption_each_token_is_computed_once_or_found_in_the_cache(scenarios, data):
    """The last output token of a call is never computed; the first comes with the prefill."""
    scenario = data.draw(scenarios)
    plenty = replace(scenario, settings=replace(scenario.settings, num_blocks=20_000))
    records = plenty.run()
    calls, steps = records.calls, records.steps
    assert calls.num_preemptions.sum() == 0
    assert steps.num_prefill_tokens.sum() + calls.num_cached_tokens.sum() == calls.num_prompt_tokens.sum()
    assert (steps["count"] * steps.num_decodes).sum() == (calls.num_output_tokens - 1).sum()


@QUICK
@given(data=st.data())
def test_no_token_is_decoded_twice_even_by_preempted_calls(scenarios, data):
    """A preempted call comes back with all its tokens in one prefill, which gives the next token."""
    records = data.draw(scenarios).run()
    calls, steps = records.calls, records.steps
    assert (steps["count"] * steps.num_decodes).sum() <= (calls.num_output_tokens - 1).sum()


@QUICK
@given(data=st.data(), seconds=st.sampled_from((1, 1000)))
def test_shifting_all_arrivals_shifts_all_instants(scenarios, data, seconds):
    """Rounding may put an arrival on the other side of a step's end, so all instants here are sums of powers of two."""
    here = data.draw(scenarios).on_ticks()
    there = replace(here, workload=shifted(here.workload, float(seconds)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sim.engines.EMPTY_STEP_SLEEP", 2.0**-10)
        before, after = here.run().calls, there.run().calls
    for column in ("submitted_at", "dispatched_at", "scheduled_at", "first_token_at", "finished_at"):
        assert (after[column] == before[column] + seconds).all(), column


@QUICK
@given(data=st.data())
def test_latency_is_the_first_token_and_the_other_tokens_at_their_mean_pace(scenarios, data):
    calls = data.draw(scenarios).run().calls
    table = call_metrics(calls)
    rest = (table.tpot * (calls.num_output_tokens - 1)).fillna(0.0)
    np.testing.assert_allclose(table.e2e, table.ttft + rest, rtol=1e-9)


@QUICK
@given(data=st.data())
def test_equal_inputs_give_equal_records_and_runs_between_leave_no_trace(scenarios, data):
    scenario, other = data.draw(scenarios), data.draw(scenarios)
    first = scenario.run()
    other.run()
    second = scenario.run()
    for table in ("calls", "steps", "decisions"):
        assert getattr(first, table).equals(getattr(second, table)), table
    assert first.manifest | {"started_at": None} == second.manifest | {"started_at": None}
