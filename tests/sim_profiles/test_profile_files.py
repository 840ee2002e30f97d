"""Profiles load by name or file, say what is wrong with a bad file in one line, and warn outside their domain."""

import json

import pytest

from sim.profile import PROFILE_FOLDER, list_profiles, load_profile

GOOD = json.loads((PROFILE_FOLDER / "h100-llama-13b.json").read_text())


@pytest.mark.parametrize("name", list_profiles())
def test_every_shipped_profile_bears_the_name_of_its_file(name):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.measurement.sources


@pytest.mark.parametrize("name", list_profiles())
def test_kv_bytes_and_blocks_follow_from_the_model_and_the_memory_of_the_gpus(name):
    """At 0.90 utilisation an 80 GB GPU has at most 77 GB for KV blocks, one of 141 GB at most 127."""
    profile = load_profile(name)
    engine = profile.engine_defaults
    assert engine.kv_bytes_per_token == profile.model.kv_bytes_per_token()
    memory = profile.tensor_parallel * (127e9 if "H200" in profile.measurement.gpu else 77e9)
    assert engine.num_blocks * engine.block_size * engine.kv_bytes_per_token < memory


def test_a_profile_loads_from_a_file_too(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**GOOD, "name": "mine"}))
    assert load_profile(path).name == "mine"
    assert load_profile(str(path)) == load_profile(path)


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"profile='h900' is none of .*h100-llama-13b.*, and no file"):
        load_profile("h900")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.json' cannot be read: No such file"):
        load_profile(tmp_path / "absent.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": "x"}', "\ufeff{}", '{"name": 1}'])
def test_a_file_that_is_no_profile_is_named_with_the_reason(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"broken\.json") as caught:
        load_profile(path)
    assert "\n" not in str(caught.value)


def _changed(field, value):
    """The good profile with one field, given as a path, set to a value."""
    document = json.loads(json.dumps(GOOD))
    *parents, last = field.split(".")
    place = document
    for parent in parents:
        place = place[parent]
    place[last] = value
    return document


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tensor_parallel", 0, "tensor_parallel=0 must be at least 1"),
        ("tensor_parallel", 1.5, "`int`"),
        ("colour", "red", "unknown field `colour`"),
        ("terms.seconds_per_step", -0.001, "terms.seconds_per_step=-0.001 must be finite and at least 0"),
        ("terms.seconds_per_prefill", "fast", "terms.seconds_per_prefill"),
        ("terms.seconds_per_attention_pair", None, "terms.seconds_per_attention_pair"),
        ("terms.dense", {"counts": [1, 1], "seconds": [0.1, 0.2]}, "terms.dense.counts=[1, 1] must be"),
        ("terms.dense", {"counts": [1, 2], "seconds": [0.2, 0.1]}, "terms.dense.seconds=[0.2, 0.1] must not decrease"),
        ("terms.dense", {"counts": [1], "seconds": [0.0]}, "terms.dense.seconds[0]=0.0 must be positive"),
        ("terms.dense", {"counts": [1, 2], "seconds": [0.1]}, "terms.dense.seconds has 1 values"),
        ("terms.all_reduce", {"counts": [], "seconds": []}, "terms.all_reduce.seconds has 0 values"),
        ("terms.decode_batch", {"counts": [1]}, "missing required field `seconds`"),
        ("terms.decode_context", {"counts": [1], "seconds": [-1.0]}, "terms.decode_context.seconds=[-1.0] must be"),
        ("domain.max_decodes", 0, "domain.max_decodes=0 must be finite and at least 1"),
        ("domain.max_tokens_per_step", "many", "domain.max_tokens_per_step"),
        ("overheads.idle_wakeup", -1.0, "overheads.idle_wakeup=-1.0 must be finite and at least 0"),
        ("overheads.coffee", 1.0, "unknown field `coffee`"),
        ("engine_defaults.block_size", 0, "engine_defaults.block_size=0 must be finite and at least 1"),
        ("engine_defaults.num_blocks", -3, "engine_defaults.num_blocks=-3 must be finite and at least 1"),
        ("model.num_layers", 0, "model.num_layers=0 must be finite and at least 1"),
        ("measurement.sources", "a table", "measurement.sources"),
        ("residuals", [{**GOOD["residuals"][0], "median": -0.1}], "residuals[0].median=-0.1 must be finite"),
        ("residuals", [{"points": "x"}], "missing required field"),
    ],
)
def test_a_malformed_profile_is_refused_with_file_field_value_and_rule(tmp_path, field, value, message):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(_changed(field, value)))
    with pytest.raises(ValueError, match=r"bad\.json: ") as caught:
        load_profile(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_steps_inside_the_domain_bring_no_warning():
    assert load_profile("h100-llama-13b").domain_warnings(64, 64 * 900, 2048 - 64) == []


def test_each_limit_that_a_step_exceeds_is_named_with_its_value():
    warnings = load_profile("h100-llama-13b").domain_warnings(257, 300_000, 5000)
    assert [warning.split(": ")[1].split("=")[0] for warning in warnings] == [
        "num_decodes",
        "num_context_tokens",
        "tokens in a step",
    ]
    assert "num_decodes=257 lies beyond the measured 256" in warnings[0]
