"""Upper bounds in front of an engine, and the release of places."""

import pytest

from sim.gate import Gate
from sim.parrot_engine import ParrotBatcher, ParrotSettings
from sim.stepped import SteppedEngine


def gated(bench, bounds, release=0.0):
    def engine(gate):
        batcher = ParrotBatcher(ParrotSettings(num_blocks=1000))
        return SteppedEngine(0, batcher, bench.cost, bench.clock, gate)

    bench.engine = Gate(engine, bounds, bench.clock, bench, release=release)
    return bench


def test_no_more_calls_of_a_stage_are_inside_than_its_bound(bench):
    gated(bench, {"map": 2})
    for name in "abc":
        bench.send(name, 10, 3, stage="map")
    bench.run()
    assert bench.requests["a"].scheduled_at == bench.requests["b"].scheduled_at == 0.0
    assert bench.requests["c"].scheduled_at == bench.finished["a"]


def test_the_most_restrictive_call_inside_rules(bench):
    gated(bench, {"map": 8, "reduce": 1}).send("r", 10, 3, stage="reduce").send("m", 10, 3, stage="map", at=0.001)
    bench.run()
    assert bench.requests["m"].scheduled_at == bench.finished["r"]


def test_a_stage_without_a_bound_enters_at_once(bench):
    gated(bench, {"map": 1}).send("a", 10, 3).send("b", 10, 3).run()
    assert bench.requests["b"].scheduled_at == 0.0


def test_a_waiting_call_takes_a_place_only_when_it_is_released(bench):
    gated(bench, {"map": 1}, release=0.18).send("a", 10, 3, stage="map").send("b", 10, 3, stage="map").run()
    assert bench.requests["b"].scheduled_at == pytest.approx(bench.finished["a"] + 0.18)


def test_a_place_for_which_nobody_waits_is_free_at_once(bench):
    gated(bench, {"map": 1}, release=0.18).send("a", 10, 1, stage="map").send("b", 10, 1, at=0.05, stage="map").run()
    assert bench.requests["b"].scheduled_at == 0.05


def test_bounds_and_release_out_of_range_are_refused(bench):
    with pytest.raises(ValueError, match=r"bounds\['map'\]=0"):
        gated(bench, {"map": 0})
    with pytest.raises(ValueError, match=r"release=-1\.0"):
        gated(bench, {}, release=-1.0)
