"""The closed form and the bounds, against sums worked out by hand with a step cost made of round numbers."""

import json
from io import StringIO

import pytest
from rich.console import Console

from analysis.bounds import lower_bounds
from analysis.gap import NaiveEstimate, explain_gap
from analysis.prediction import predict
from analysis.rounds import CallShape, Deployment, prefill_time, rounds_of
from analysis.tables import bounds_table, terms_table
from sim.step_cost import UNSHARED
from traces.workload import Application, Call, Workload, output_of, text


class AffineCost:
    """10 ms a step, 1 ms a decoding call, 1 us a context token, 100 us a prefill token."""

    def step(self, num_decodes, num_context_tokens, prefills, sharing=UNSHARED):
        return 1e-2 + 1e-3 * num_decodes + 1e-6 * num_context_tokens + 1e-4 * sum(new for new, _ in prefills)

    def decode_run(self, num_decodes, num_context_tokens, sharing=UNSHARED):
        return self.step(num_decodes, num_context_tokens, ()), 1e-6 * num_decodes


def map_reduce(num_maps=30, app="m", arrival=0.0):
    """Maps of 1000 tokens, a reduce of their outputs, 50 tokens out each."""
    maps = [Call(f"map{i}", (text(f"{app}-{i}", 1000),), 50, stage="map") for i in range(num_maps)]
    ids = tuple(call.id for call in maps)
    return Application(app, arrival, (*maps, Call("reduce", tuple(map(output_of, ids)), 50, stage="reduce", deps=ids)))


def chain(num_calls, app="c", output_tokens=11, delay=0.0):
    """Calls of 100 tokens one after another, 11 out."""
    calls = [
        Call(f"c{i}", (text(f"{app}-{i}", 100),), output_tokens, deps=(f"c{i - 1}",) if i else (), delay=delay)
        for i in range(num_calls)
    ]
    return Application(app, 0.0, tuple(calls))


def workload(*applications):
    return Workload("test", applications)


def seconds(*applications, **deployment):
    return predict(workload(*applications), AffineCost(), Deployment(**deployment)).seconds


FOUR_BY_TWO = {"num_engines": 4, "num_resident": 2, "network_latency": 0.25}
# Round of two maps: one prefill step of 2000 tokens; 49 decode steps, the first over 2 x 1001 tokens.
MAP_ROUND = (0.01 + 0.2) + 49 * (0.01 + 0.002 + 2002e-6) + 2e-6 * 49 * 48 / 2
REDUCE = (0.01 + 0.15) + 49 * (0.01 + 0.001 + 1501e-6) + 1e-6 * 49 * 48 / 2
# Chain call: one prefill step of 100 tokens, ten decode steps over 101 to 110 tokens.
CHAIN_CALL = 0.02 + 10 * 0.011 + 1e-6 * sum(range(101, 111))


def test_map_reduce_takes_rounds_of_maps_then_the_reduce_and_two_latencies():
    assert seconds(map_reduce(), **FOUR_BY_TWO) == pytest.approx(4 * MAP_ROUND + REDUCE + 2 * 0.25)
    assert pytest.approx(4.867525) == 4 * MAP_ROUND + REDUCE + 0.5


def test_a_service_that_has_the_graph_pays_the_network_once():
    by_client, by_service = (seconds(chain(5), **FOUR_BY_TWO, orchestration=who) for who in ("client", "service"))
    assert by_client == pytest.approx(5 * (CHAIN_CALL + 0.25))
    assert by_client - by_service == pytest.approx(4 * 0.25)


def test_think_time_stands_before_every_call_of_a_chain():
    assert seconds(chain(3, delay=2.0), num_engines=1, num_resident=1) == pytest.approx(3 * (CHAIN_CALL + 2.0))


def test_a_stage_bound_replaces_the_resident_calls_of_its_level():
    bounded = Deployment(num_engines=1, num_resident=2, stage_bounds={"map": 8})
    level = predict(workload(map_reduce(16)), AffineCost(), bounded).levels[0]
    assert [(each.count, each.num_calls) for each in level.rounds] == [(2, 8)]


def test_the_last_round_holds_the_rest_of_the_calls():
    rounds = rounds_of(15, 8, CallShape(1000, 0, 50), AffineCost(), Deployment(num_engines=1, num_resident=8))
    assert [(each.count, each.num_calls) for each in rounds] == [(1, 8), (1, 7)]


def test_prefill_is_cut_into_steps_of_the_token_limit():
    # 3000 tokens: a step of 2048 and one of 952.
    assert prefill_time(AffineCost(), [(1500, 0), (1500, 0)], 2048) == pytest.approx(2 * 0.01 + 0.3)


def test_cached_prefixes_are_not_computed_again():
    shared = text("system", 100)
    first = Call("a", (shared,), 11)
    second = Call("b", (shared, text("question", 50)), 11, deps=("a",))
    applications = Application("chat", 0.0, (first, second))
    cold, warm = (
        seconds(applications, num_engines=1, num_resident=1, enable_prefix_caching=on) for on in (False, True)
    )
    # 100 shared tokens are six whole blocks of 16.
    assert cold - warm == pytest.approx(96 * 1e-4)


def test_equal_chains_that_fill_the_engine_hide_each_others_network():
    alone = seconds(chain(3, "a"), num_engines=1, num_resident=1, network_latency=0.1)
    together = seconds(chain(3, "a"), chain(3, "b"), num_engines=1, num_resident=1, network_latency=0.1)
    assert alone == pytest.approx(3 * (CHAIN_CALL + 0.1))
    assert together == pytest.approx(6 * CHAIN_CALL + 0.1)


def test_the_closed_form_does_not_apply_to_applications_that_arrive_apart():
    prediction = predict(workload(map_reduce(), map_reduce(app="n", arrival=1.0)), AffineCost(), Deployment(1, 2))
    assert prediction.seconds is None
    assert prediction.not_applicable == "applications arrive at different times"
    assert prediction.lines()[0] == "closed form does not apply: applications arrive at different times"


def test_the_prediction_is_written_out_term_by_term():
    lines = predict(workload(map_reduce()), AffineCost(), Deployment(**FOUR_BY_TWO)).lines()
    assert lines[0] == "map: 4 rounds of 2 x (prefill 0.210 s + 49 steps x 14.05 ms) = 3.594 s"
    assert lines[2:4] == ["network: 2 levels x (0.250 s) = 0.500 s", "total: 4.868 s"]


def test_the_prediction_has_a_json_form_that_adds_up():
    prediction = predict(workload(map_reduce()), AffineCost(), Deployment(**FOUR_BY_TWO))
    plain = json.loads(json.dumps(prediction.to_dict(), allow_nan=False))
    assert sum(term["seconds"] for term in plain["terms"]) == pytest.approx(plain["seconds"])


def test_the_critical_path_is_one_call_of_each_level_alone():
    bounds = lower_bounds(workload(map_reduce()), AffineCost(), Deployment(**FOUR_BY_TWO))
    one_map = (0.01 + 0.1) + 49 * (0.01 + 0.001 + 1001e-6) + 1e-6 * 49 * 48 / 2
    assert bounds.mean_jct == pytest.approx(one_map + REDUCE + 2 * 0.25)


def test_the_work_bound_lets_decodes_ride_along_with_prefill():
    # 100 prompt tokens and two decode steps over 101 and 102 (mean 101.5, taken as 102): two steps carry everything.
    call = Application("a", 0.0, (Call("c", (text("t", 100),), 3),))
    bounds = lower_bounds(workload(call), AffineCost(), Deployment(num_engines=1, num_resident=1))
    assert bounds.work_makespan == pytest.approx(2 * (0.01 + 0.001 + 102e-6) + 100e-4)


def test_the_work_bound_shrinks_with_the_engines_and_the_critical_path_does_not():
    one, four = (lower_bounds(workload(map_reduce()), AffineCost(), Deployment(n, 8)) for n in (1, 4))
    assert one.work_makespan == pytest.approx(4 * four.work_makespan)
    assert one.critical_path == four.critical_path


@pytest.mark.parametrize("num_resident", [1, 2, 8, 256])
@pytest.mark.parametrize("num_engines", [1, 4])
def test_no_bound_exceeds_the_closed_form(num_resident, num_engines):
    deployment = Deployment(num_engines, num_resident, network_latency=0.25)
    for applications in ([map_reduce()], [chain(6)], [chain(4, str(k)) for k in range(16)]):
        prediction = predict(workload(*applications), AffineCost(), deployment)
        assert prediction.bounds.makespan <= prediction.seconds * (1 + 1e-9)


def test_the_makespan_bound_counts_from_the_first_arrival():
    late = lower_bounds(workload(chain(1), map_reduce(app="m", arrival=5.0)), AffineCost(), Deployment(4, 64))
    assert late.makespan == pytest.approx(5.0 + late.critical_path["m"])


def test_the_gap_of_a_naive_estimate_adds_up_to_the_closed_form():
    prediction = predict(workload(map_reduce()), AffineCost(), Deployment(**FOUR_BY_TWO))
    terms = {term.label: term.seconds for term in explain_gap(prediction, NaiveEstimate(4, 50, 0.03))}
    assert sum(terms.values()) == pytest.approx(prediction.seconds, rel=1e-12)
    assert terms["naive estimate"] == pytest.approx(6.0)
    assert terms["first fill"] == pytest.approx(0.21)
    assert terms["prefill of the later rounds"] == pytest.approx(3 * 0.21)
    assert terms["steps: the prefill brings the first token"] == pytest.approx(-4 * 0.03)
    assert terms["reduce"] == pytest.approx(REDUCE)


def test_what_the_closed_form_does_not_explain_is_a_term_of_its_own():
    prediction = predict(workload(map_reduce()), AffineCost(), Deployment(**FOUR_BY_TWO))
    terms = explain_gap(prediction, NaiveEstimate(3, 50, 0.03), observed=13.0)
    assert terms[-1].label == "not in the closed form"
    assert sum(term.seconds for term in terms) == pytest.approx(13.0, rel=1e-12)


def test_tables_of_terms_end_with_their_total():
    prediction = predict(workload(map_reduce()), AffineCost(), Deployment(**FOUR_BY_TWO))
    console = Console(width=120, record=True, file=StringIO())
    console.print(terms_table(prediction.terms(), title="Prediction"), bounds_table(prediction.bounds))
    text_ = console.export_text()
    assert "4 rounds of 2 x (prefill 0.210 s + 49 steps x 14.05 ms)" in text_
    assert "4.868" in next(line for line in text_.splitlines() if line.lstrip().startswith("total"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("num_engines", 0), ("num_resident", -1), ("network_latency", -0.1), ("orchestration", "both")],
)
def test_a_deployment_refuses_values_that_make_no_sense(field, value):
    with pytest.raises(ValueError, match=f"{field}="):
        Deployment(**{"num_engines": 1, "num_resident": 1, field: value})
