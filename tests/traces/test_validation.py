"""Rules that the malformed files cannot show: the model's context, transitive quotes, values only Python can hold."""

import numpy as np
import pytest

from traces.generators.mapreduce import map_reduce
from traces.validation import validate_workload
from traces.workload import Application, Call, Workload, output_of, text


def one_application(*calls: Call) -> Workload:
    return Workload("w", (Application("a", 0.0, calls),))


def test_prompt_plus_output_may_fill_the_context_exactly():
    validate_workload(map_reduce(2, output_tokens=50), source="w", max_model_len=1020 + 50)


def test_prompt_plus_output_beyond_the_context_is_refused_with_both_lengths():
    with pytest.raises(ValueError, match=r"call 'map0': prompt of 1020 tokens plus output_tokens=50 must not exceed"):
        validate_workload(map_reduce(2), source="w", max_model_len=1069)


def test_quoted_outputs_count_towards_the_context():
    with pytest.raises(ValueError, match=r"call 'reduce': prompt of 1520 tokens"):
        validate_workload(map_reduce(30), source="w", max_model_len=1100)


def test_an_output_further_up_the_graph_may_be_quoted():
    first, second = Call("a", (text("t", 1),), 5), Call("b", (output_of("a"),), 5, deps=("a",))
    third = Call("c", (output_of("a"), output_of("b")), 5, deps=("b",))

    validate_workload(one_application(third, second, first), source="w")


def test_an_output_of_a_sibling_may_not_be_quoted():
    first, second = Call("a", (text("t", 1),), 5), Call("b", (text("t", 1),), 5)
    third = Call("c", (output_of("b"),), 5, deps=("a",))

    with pytest.raises(ValueError, match=r"call 'c': prompt\[0\].output_of='b' must be the id of a call"):
        validate_workload(one_application(first, second, third), source="w")


def test_a_cycle_is_spelled_out():
    calls = [Call(name, (text("t", 1),), 5, deps=(dep,)) for name, dep in ("ab", "bc", "ca")]

    with pytest.raises(ValueError, match=r"cycle \(('a' needs 'b' needs 'c' needs 'a'|'b' needs 'c'|'c' needs 'a')"):
        validate_workload(one_application(*calls), source="w")


def test_a_numpy_integer_is_refused_since_it_cannot_be_saved():
    with pytest.raises(ValueError, match=r"output_tokens=.* must be a positive integer"):
        validate_workload(one_application(Call("a", (text("t", 1),), np.int64(5))), source="w")  # type: ignore[arg-type]


def test_a_long_value_is_cut_in_the_message():
    call = Call("a", (text("t", 1),), 5, deps=tuple(f"call-{i}" for i in range(1000)))

    with pytest.raises(ValueError, match="deps=") as refusal:
        validate_workload(one_application(call), source="w")
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize("beyond", [float(np.nextafter(1e9, 2e9)), 10**400], ids=["next float", "huge integer"])
def test_times_reach_a_billion_seconds_and_no_further(beyond):
    validate_workload(one_application(Call("c", (text("t", 1),), 1, delay=1e9, deadline=1e9)), source="w")
    for field in ("delay", "deadline"):
        call = Call("c", (text("t", 1),), 1, **{field: beyond})
        with pytest.raises(ValueError, match=f"call 'c': {field}=.* at most 1e9"):
            validate_workload(one_application(call), source="w")
