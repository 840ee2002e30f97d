"""The description of a workload, against counts made by hand."""

import json

import numpy as np
import pytest

from traces.describe import call_depths, describe, shared_prefix_tokens
from traces.generators.mapreduce import map_reduce
from traces.workload import Application, Call, Workload, output_of, text


def test_map_reduce_is_two_deep_and_as_wide_as_its_maps():
    summary = describe(map_reduce(15, np.array([0.0, 2.0, 4.0])))

    assert (summary["num_applications"], summary["num_calls"]) == (3, 48)
    assert summary["calls_per_stage"] == {"map": 45, "reduce": 3}
    assert summary["depth"]["max"] == 2  # type: ignore[index]
    assert summary["width"]["max"] == 15  # type: ignore[index]
    assert summary["arrivals"] == {"span": 4.0, "rate": 0.5, "cv": 0.0}
    assert summary["total_prompt_tokens"] == 3 * (15 * 1020 + 770)


def test_percentiles_and_mean_are_of_calls():
    calls = tuple(Call(f"c{i}", (text(f"t{i}", i),), 1) for i in range(1, 102))

    summary = describe(Workload("w", (Application("a", 0.0, calls),)))

    assert summary["prompt_tokens"] == {"mean": 51.0, "p50": 51.0, "p90": 91.0, "p99": 100.0, "max": 101}


def test_a_later_prompt_that_begins_with_an_earlier_prompt_and_its_output_shares_both():
    first = Call("a", (text("question", 30),), 20)
    second = Call("b", (text("question", 30), output_of("a"), text("next", 5)), 20, deps=("a",))

    assert shared_prefix_tokens(Workload("w", (Application("x", 0.0, (first, second)),))) == 50


def test_the_same_name_at_another_length_is_other_text():
    calls = (Call("a", (text("t", 30),), 1), Call("b", (text("t", 31),), 1))

    assert shared_prefix_tokens(Workload("w", (Application("x", 0.0, calls),))) == 0


def test_outputs_of_different_applications_are_different_text():
    calls = (Call("a", (text("t", 30),), 9), Call("b", (text("t", 30), output_of("a"), text("u", 1)), 1, deps=("a",)))

    workload = Workload("w", tuple(Application(name, 0.0, calls) for name in "xy"))

    assert shared_prefix_tokens(workload) == (30 + 9) + 30 + (30 + 9)


def test_depth_follows_the_longest_path():
    deps = {"a": (), "b": ("a",), "c": ("a", "b"), "d": ("a",)}
    calls = tuple(Call(name, (text("t", 1),), 1, deps=before) for name, before in deps.items())

    assert call_depths(Application("x", 0.0, calls)) == {"a": 1, "b": 2, "c": 3, "d": 2}


@pytest.mark.parametrize("arrivals", [np.zeros(1), np.zeros(3)])
def test_a_description_is_json_even_where_a_rate_is_undefined(arrivals):
    summary = json.loads(json.dumps(describe(map_reduce(2, arrivals)), allow_nan=False))

    assert summary["arrivals"] == {"span": 0.0, "rate": None, "cv": None}
