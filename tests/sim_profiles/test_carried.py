"""A calibration carried to a card with other memory finds that card's terms again."""

import msgspec
import pytest

from sim.fitting.carried import Measured, carry
from sim.fitting.timelines import StepPoint
from sim.profile import CurveTable, load_profile, step_cost_of

TERMS = load_profile("h200-llama-13b").terms
DECODES = [(batch, batch * context, ()) for batch in (1, 2, 4, 8, 16, 32, 64) for context in (128, 1024, 3000)]
PREFILLS = [(0, 0, ((tokens, 0),)) for tokens in (16, 128, 256, 512, 1024, 2048, 4000)]


def slower_memory(factor):
    """The calibrated card with slower memory: each step with the time that it takes there."""
    dense, context = TERMS.dense, TERMS.decode_context
    reading = factor * context.seconds[-1]
    terms = msgspec.structs.replace(
        TERMS,
        dense=CurveTable(dense.counts, tuple(seconds + (factor - 1) * dense.seconds[0] for seconds in dense.seconds)),
        decode_context=CurveTable(context.counts, tuple(max(seconds, reading) for seconds in context.seconds)),
    )
    cost = step_cost_of(terms, async_scheduling=True)
    return terms, [
        Measured([StepPoint(cost.step(*load) + 0.001, *load, "test")], {"synchronous_step": 1, "synchronous_decode": 0})
        for load in DECODES + PREFILLS
    ]


KNOWN = {"synchronous_decode": 0.0}


def test_bandwidth_and_host_time_of_the_other_card_are_found():
    wanted, measured = slower_memory(1.4)
    terms, found = carry(TERMS, measured, {**KNOWN, "synchronous_step": 0.001})
    assert found["reading"] == pytest.approx(wanted.decode_context.seconds[-1], rel=0.01)
    assert found["batch"] == pytest.approx(1.0, abs=0.02)
    assert terms.dense.seconds[0] == pytest.approx(wanted.dense.seconds[0], rel=0.005)


def test_steps_between_the_measured_ones_are_predicted():
    wanted, measured = slower_memory(1.4)
    terms, _ = carry(TERMS, measured, {**KNOWN, "synchronous_step": 0.001})
    ours, theirs = (step_cost_of(each, async_scheduling=True) for each in (terms, wanted))
    for load in [(12, 9000, ()), (48, 20_000, ()), (8, 4000, ((700, 0),))]:
        assert ours.step(*load) == pytest.approx(theirs.step(*load), rel=0.01)


def test_what_the_chip_does_alone_stays_as_calibrated():
    terms, _ = carry(TERMS, slower_memory(1.4)[1], {**KNOWN, "synchronous_step": 0.001})
    for name in ("repeated_context", "num_resident_tokens", "seconds_per_attention_pair", "seconds_per_mixed_step"):
        assert getattr(terms, name) == getattr(TERMS, name)


def test_no_context_is_read_faster_than_the_chip_alone_could():
    terms, found = carry(TERMS, slower_memory(0.5)[1], {**KNOWN, "synchronous_step": 0.001})
    assert found["reading"] < min(TERMS.decode_context.seconds)
    assert terms.decode_context == TERMS.decode_context
