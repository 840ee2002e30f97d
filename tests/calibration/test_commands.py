"""`dovetail profile` and the half of `dovetail calibrate` that needs no engine."""

import json

import pytest
from click.testing import CliRunner

from dovetail.calibrate import asked_limits, calibrate
from dovetail.main import cli
from realexec.calibration.raw import write_raw
from realexec.models import model_shape
from sim.profile import load_profile
from traces.files import save_workload
from traces.workload import Application, Call, Workload, text


def dovetail(*arguments):
    return CliRunner().invoke(cli, [str(each) for each in arguments], standalone_mode=False)


@pytest.fixture(scope="module")
def points(raw, small_plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibration") / "card.points"
    raw.engine["settings"] |= {"model": "llama-13b", "dtype": "float16"}
    write_raw(folder, raw, small_plan)
    return folder


@pytest.fixture(scope="module")
def calibrated(points):
    out = points.with_suffix(".json")
    result = dovetail("calibrate", "--from", points, "--out", out)
    assert result.exception is None
    return out, result.output


def workload(tmp_path, num_calls, tokens):
    path = tmp_path / "workload.json"
    applications = [Application(str(n), 0.0, (Call("c", (text(str(n), tokens),), 20),)) for n in range(num_calls)]
    save_workload(Workload("w", tuple(applications)), path)
    return path


def test_points_are_fitted_again_without_measuring(calibrated):
    out, printed = calibrated
    assert load_profile(out).name == "card"
    assert "GPU time" in printed
    assert "predicted" in printed


def test_a_fit_is_printed_as_json_too(points, tmp_path):
    data = json.loads(dovetail("calibrate", "--from", points, "--out", tmp_path / "card.json", "--json").stdout)
    assert data["num_points"] > 10
    assert data["repeated_windows"] is None  # a small plan repeats nothing
    assert [abs(share) < 0.02 for share in data["drift"]] == 4 * [True]  # simulated steps take what the card takes
    assert sum(form["chosen"] for form in data["forms"]) == 1
    assert {row["fitted"] for row in data["residuals"]} == {True, False}


def test_a_fit_replaces_what_an_earlier_fit_wrote_when_asked(points, tmp_path):
    command = ("calibrate", "--from", points, "--out", tmp_path / "card.json", "--overwrite")
    assert [dovetail(*command).exception for _ in range(2)] == [None, None]


def test_a_profile_is_shown_as_json_too(calibrated):
    data = json.loads(dovetail("profile", "show", calibrated[0], "--json").stdout)
    assert data["residuals"] == json.loads(calibrated[0].read_text())["residuals"]
    shares = data["relative_standard_errors"]
    assert shares.pop("seconds_per_attention_pair") > 0  # a small plan hardly tells it from the curve of the tokens
    assert all(0 < share < 1 for share in shares.values())


def test_what_leaves_the_domain_is_printed_as_json_too(tmp_path):
    result = dovetail("profile", "check", workload(tmp_path, 4, 3500), "--profile", "a100-llama-7b", "--json")
    limits = {row["what"]: row for row in json.loads(result.stdout)["limits"]}
    assert limits["tokens of a call"]["largest"] == 3520


def test_a_fit_leaves_its_samples_and_their_picture_beside_the_points(calibrated, points):
    assert (points / "samples.csv.gz").stat().st_size > 1000
    assert (points / "residuals.png").read_bytes().startswith(b"\x89PNG")


def test_an_earlier_profile_is_replaced_only_when_asked(calibrated, points):
    refused = dovetail("calibrate", "--from", points, "--out", calibrated[0])
    assert "already" in str(refused.exception)
    assert dovetail("calibrate", "--from", points, "--out", calibrated[0], "--overwrite").exception is None


def test_continue_needs_points_and_goes_with_nothing_that_replaces_them(calibrated, points, tmp_path):
    for arguments, message in (
        (("--out", calibrated[0], "--overwrite"), "cannot go with --overwrite"),
        (("--out", calibrated[0], "--from", points), "cannot go with --from"),
        (("--out", tmp_path / "none.json"), "is not there, so there is nothing to --continue"),
        (("--out", calibrated[0], "--model", "llama-8b"), "model='llama-8b' of this engine must be 'llama-13b'"),
    ):
        assert message in str(dovetail("calibrate", "--continue", *arguments).exception)


@pytest.mark.parametrize(
    ("device", "given", "length"), [("gpu", None, None), ("gpu", 512, 512), ("virtual", None, 4096)]
)
def test_the_longest_call_on_a_gpu_is_the_models_own(device, given, length):
    left_out = {parameter.name: None for parameter in calibrate.params}
    limits = asked_limits({**left_out, "device": device, "profile": "h100-llama-13b", "max_model_len": given})
    assert limits.get("max_model_len") == length
    assert limits["max_num_batched_tokens"] == 2048


def test_show_prints_terms_with_errors_and_the_forms_tried(calibrated, tmp_path):
    printed = dovetail("profile", "show", calibrated[0], "--picture", tmp_path / "p.png").output
    for expected in ("standard error", "repeated_context", "kept", "covers steps of up to", "client_to_engine"):
        assert expected in printed
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_show_works_for_a_profile_that_was_not_calibrated():
    assert "beside the terms: nothing" in dovetail("profile", "show", "a100-llama-13b").output
    shown = " ".join(dovetail("profile", "show", "h100-llama-13b").output.split())
    assert "num_resident_tokens 1280, num_parallel_calls 4, num_graph_tokens 512, launch_seconds 0.032" in shown
    assert "graph_launch_seconds 0.012124, sustained_slowdown 0.0" in shown


def test_check_passes_a_workload_inside_what_was_measured(tmp_path):
    assert dovetail("profile", "check", workload(tmp_path, 20, 300)).return_value is None


def test_check_names_the_limit_that_a_workload_leaves(tmp_path):
    result = dovetail("profile", "check", workload(tmp_path, 300, 40), "--profile", "a100-llama-7b")
    assert isinstance(result.exception, SystemExit)
    (line,) = [line for line in result.output.splitlines() if "decoding calls" in line]
    assert not line.rstrip().endswith(" 0.0")


def test_scale_writes_a_profile_that_says_it_was_not_measured(tmp_path):
    out = tmp_path / "h200.json"
    arguments = ("--from", "h100-80gb", "--to", "h200-141gb", "--out", out)
    assert dovetail("profile", "scale", "h100-llama-13b", *arguments).exception is None
    assert load_profile(out).measurement.method.startswith("Not measured")
    refused = dovetail("profile", "scale", "h100-llama-13b", "--from", "x", "--to", "y", "--out", out)
    assert "'x' is none of" in str(refused.exception)


def test_simulate_gives_intervals_within_the_fit(calibrated, tmp_path):
    arguments = ("--profile", calibrated[0], "--uncertainty", 5, "--out", tmp_path / "run")
    printed = dovetail("simulate", workload(tmp_path, 5, 200), *arguments).output
    assert "uncertainty of the fitted" in printed.replace("\n", " ")
    assert (tmp_path / "run" / "uncertainty.csv").exists()


def test_a_model_shape_is_read_from_its_folder(tmp_path):
    assert model_shape("llama-13b", "float16") == load_profile("h100-llama-13b").model
    with pytest.raises(ValueError, match="no built-in shape"):
        model_shape("no-such-model", "float16")
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 3}))
    with pytest.raises(ValueError, match="num_attention_heads"):
        model_shape(str(tmp_path), "float16")
