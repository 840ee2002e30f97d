"""What a policy inside an engine sees of a call: the same as outside, but for the oracle."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.calls import build_applications
from policies.interface import CallView, PolicyError
from policies.load import find_policy_class
from realexec.call_metadata import from_extra_args, to_extra_args
from traces.workload import Application, Call, Workload, output_of, text

FIELDS = [name for name in vars(CallView) if not name.startswith("_") and name != "oracle"]


def two_calls(**fields):
    """States of a call and of the one that depends on it; `fields` are the first one's."""
    first = Call("a", (text("système", 10), text("x", 5)), 7, "map", **fields)
    application = Application("m 1", 2.5, (first, Call("b", (output_of("a"),), 3, "reduce", ("a",), deadline=9.0)))
    return build_applications(Workload("w", (application,)))[0].calls


def carried(call, started_at=100.0):
    """The call as it comes out of an engine's request, after the way it goes to an engine's process."""
    return from_extra_args(msgspec.msgpack.decode(msgspec.msgpack.encode(to_extra_args(call, started_at))))


@given(priority=st.integers(-5, 5), predicted=st.none() | st.integers(1, 99), deadline=st.none() | st.floats(0.1, 1e6))
def test_every_field_of_the_view_arrives(priority, predicted, deadline):
    fields = {"priority": priority, "predicted_output_tokens": predicted, "deadline": deadline}
    for call in two_calls(**fields):
        metadata = carried(call)
        assert {name: getattr(metadata, name) for name in FIELDS} == {name: getattr(call, name) for name in FIELDS}
        assert metadata.run_started_at == 100.0


def test_only_strings_and_numbers_travel_since_http_takes_nothing_else():
    for call in two_calls():
        assert {type(value) for value in to_extra_args(call, 0.0).values()} <= {str, int, float}


@pytest.mark.parametrize("name", ["app-fifo", "fifo", "stage-priority"])
def test_a_policy_ranks_the_metadata_as_it_ranks_the_call(name):
    policy = find_policy_class(name)()
    for call in two_calls(priority=3):
        assert policy.rank(carried(call), 1.0) == policy.rank(call, 1.0)


def test_a_policy_that_asks_the_oracle_is_told_that_there_is_none():
    with pytest.raises(PolicyError, match=r"^call m 1/a: oracle is not known to a real engine$"):
        _ = carried(two_calls()[0]).oracle


def test_a_request_from_elsewhere_is_named():
    with pytest.raises(ValueError, match="'run_started_at' is missing"):
        from_extra_args({"kv_transfer_params": {}})
