"""The parts of the virtual device and of the recording that need no vLLM."""

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from realexec.engine_options import EngineOptions, options_of, to_additional_config
from realexec.engine_process import child_environment, root_cause
from realexec.models import list_models, resolve_model
from realexec.recording import Recorder, read_records
from realexec.step_load import StepLoad, StepLoads
from realexec.virtual import ENVIRONMENT_VARIABLE, platform_plugin
from realexec.virtual.timeline import DeviceTimeline
from realexec.virtual.tokens import TokenStreams
from sim.profile import load_profile
from sim.step_cost import UNSHARED

PROFILE = load_profile("h100-llama-13b")
DECODES = StepLoad(4, 2000, [], UNSHARED, [], set())


def output(new=(), cached=(), resumed=(), preempted=(), finished=()):
    """A `SchedulerOutput` of new (id, prompt, cached, scheduled) and cached (id, computed, generated, scheduled)."""
    return SimpleNamespace(
        scheduled_new_reqs=[
            SimpleNamespace(
                req_id=name, prompt_token_ids=[0] * num_prompt, num_computed_tokens=num_cached, prefill_token_ids=None
            )
            for name, num_prompt, num_cached, _ in new
        ],
        scheduled_cached_reqs=SimpleNamespace(
            req_ids=[name for name, *_ in cached],
            num_computed_tokens=[num_computed for _, num_computed, _, _ in cached],
            num_output_tokens=[num_generated for _, _, num_generated, _ in cached],
            resumed_req_ids=set(resumed),
        ),
        num_scheduled_tokens={name: num_new for name, *_, num_new in (*new, *cached)},
        preempted_req_ids=set(preempted),
        finished_req_ids=set(finished),
    )


def test_a_request_prefills_in_chunks_and_then_decodes():
    loads = StepLoads()
    assert loads.read(output(new=[("a", 100, 0, 60)]))[:3] == (0, 0, [(60, 0)])
    assert loads.read(output(cached=[("a", 60, 0, 40)], new=[("b", 50, 32, 18)]))[:3] == (0, 0, [(18, 32), (40, 60)])
    assert loads.read(output(cached=[("a", 100, 1, 1), ("b", 50, 1, 1)]))[:3] == (2, 101 + 51, [])


def test_a_preempted_request_prefills_all_that_it_knew():
    loads = StepLoads()
    loads.read(output(new=[("a", 100, 0, 100)]))
    loads.read(output(cached=[("a", 100, 1, 1)]))
    loads.read(output(preempted=["a"]))
    resumed = loads.read(output(cached=[("a", 16, 2, 60)], resumed=["a"]))
    assert (resumed.prefills, resumed.unfinished) == ([(60, 16)], {"a"})
    assert loads.read(output(cached=[("a", 76, 2, 26)])).unfinished == set()
    assert loads.read(output(cached=[("a", 102, 3, 1)]))[:3] == (1, 103, [])


def test_steps_run_one_after_the_other():
    timeline = DeviceTimeline(PROFILE, async_scheduling=True)
    duration = PROFILE.step_cost(async_scheduling=True).step(4, 2000, ())
    first = timeline.add(DECODES, 1.0, is_first=False)
    second = timeline.add(DECODES, 1.001, is_first=False)
    assert first.finished_at == pytest.approx(1.0 + duration)
    assert second.finished_at == pytest.approx(1.0 + 2 * duration)


def test_an_idle_engine_s_first_step_pays_its_launch():
    timeline = DeviceTimeline(PROFILE, async_scheduling=True)
    load = StepLoad(0, 0, [(1000, 0)], UNSHARED, [], set())
    span = timeline.add(load, 5.0, is_first=True)
    cost = PROFILE.step_cost(async_scheduling=True)
    launch = cost.launch(0, 1000)
    on_device = PROFILE.overheads.idle_start + cost.step(0, 0, [(1000, 0)])
    assert launch.holds_core
    assert span.finished_at == pytest.approx(5.0 + max(on_device, launch.seconds + launch.after))
    assert span.launched_at == pytest.approx(5.0 + launch.seconds)


def test_where_the_core_does_not_launch_an_idle_engine_wakes_up_after_the_measured_time():
    profile = load_profile("h200-llama-13b-tp2")
    timeline = DeviceTimeline(profile, async_scheduling=True)
    load = StepLoad(0, 0, [(1500, 0)], UNSHARED, [], set())
    assert timeline.add(load, 5.0, is_first=True).launched_at == pytest.approx(5.0 + profile.overheads.idle_wakeup)


def test_a_launch_holds_up_the_core_while_the_step_ahead_ends():
    timeline = DeviceTimeline(PROFILE, async_scheduling=True)
    cost = PROFILE.step_cost(async_scheduling=True)
    timeline.add(DECODES, 1.0, is_first=False)
    load = StepLoad(4, 2000, [(600, 0)], UNSHARED, [], set())
    span, launch = timeline.add(load, 1.0, is_first=False), cost.launch(4, 604)
    assert span.launched_at == pytest.approx(1.0 + launch.seconds)
    on_device = cost.step(4, 2000, ()) + cost.step(4, 2000, [(600, 0)])
    assert span.finished_at == pytest.approx(1.0 + max(on_device, launch.seconds + launch.after))


def test_synchronous_host_time_counts_from_the_end_of_the_step_before():
    timeline = DeviceTimeline(PROFILE, async_scheduling=False)
    whole = PROFILE.step_cost(async_scheduling=False).step(4, 2000, ())
    first = timeline.add(DECODES, 1.0, is_first=True)
    second = timeline.add(DECODES, first.finished_at + 0.0002, is_first=False)
    assert second.finished_at - first.finished_at == pytest.approx(whole)


def test_outputs_repeat_for_one_request_and_differ_between_requests():
    def draw(request_id):
        streams = TokenStreams(32_000)
        return [streams.next(request_id) for _ in range(32)]

    assert draw("call-1-0123abcd") == draw("call-1-89abcdef")  # the suffix is vLLM's
    assert draw("call-1-0123abcd") != draw("call-2-0123abcd")
    assert max(draw("call-1-0123abcd")) < 32_000


def test_records_are_readable_up_to_the_last_whole_row(tmp_path):
    recorder = Recorder(tmp_path)
    recorder.planned(output(new=[("a-01234567", 100, 16, 84)]), 1.0, 1, 50)
    recorder.planned(output(cached=[("a-01234567", 100, 1, 1)]), 1.1, 1, 50)
    recorder.finished(1.5)
    recorder.finished(1.75)
    recorder.close()
    for name, torn in (("steps.bin", b"torn"), ("requests.jsonl", b'["a",{"sch')):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + torn)
    records = read_records(tmp_path, engine_id=2)
    assert records.steps[["started_at", "finished_at", "num_decodes", "engine"]].to_numpy().tolist() == [
        [1.0, 1.5, 0, 2],
        [1.5, 1.75, 1, 2],
    ]
    assert records.requests["a"].num_cached_tokens == 16


def test_nothing_recorded_reads_as_no_steps(tmp_path):
    records = read_records(tmp_path, engine_id=0)
    assert len(records.steps) == 0
    assert records.requests == {}


def test_vllm_is_left_alone_without_the_environment_variable(monkeypatch):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
    assert platform_plugin() is None
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "h100-llama-13b")
    assert platform_plugin() == "realexec.virtual.platform.VirtualPlatform"


@pytest.mark.parametrize(("visible", "seen"), [(None, "1,3"), ("4,5,6,7", "5,7")])
def test_an_engine_inherits_its_own_devices(visible, seen, monkeypatch):
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("VLLM_WORKER_MULTIPROC_METHOD", "fork")

    async def run():
        async with child_environment({}, [1, 3]):
            return os.environ["CUDA_VISIBLE_DEVICES"]

    assert asyncio.run(run()) == seen
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible


def test_the_root_cause_is_the_first_exception_of_the_log(tmp_path):
    log = tmp_path / "engine.log"
    log.write_text(
        "(Worker_TP0 pid=7) ERROR 11-22 18:50:06 [core.py:1186] Traceback (most recent call last):\n"
        "(Worker_TP0 pid=7) ERROR 11-22 18:50:06 [core.py:1186] torch.OutOfMemoryError: CUDA out of memory.\n"
        "(EngineCore pid=6) RuntimeError: Engine core initialization failed.\n"
    )
    assert root_cause(RuntimeError("see above"), log) == "OutOfMemoryError: CUDA out of memory."
    assert root_cause(ValueError("two\nlines"), tmp_path / "none") == "two lines"


def test_options_reach_the_engine_s_process_and_are_checked():
    options = EngineOptions(engine_id=3, policy="module:Class", policy_parameters={"bounds": {"map": 8}})
    assert options_of(to_additional_config(options)) == options
    with pytest.raises(
        ValueError, match=r"additional_config\['dovetail'\]: Expected `int`, got `str` - at `\$.engine_id`"
    ):
        options_of({"dovetail": {"engine_id": "x"}})


def test_built_in_shapes_are_folders_and_other_names_pass():
    assert list_models() == ["llama-13b", "llama-7b", "llama-8b", "tiny"]
    assert (Path(resolve_model("llama-13b")) / "config.json").is_file()
    assert resolve_model("meta-llama/Llama-2-13b-hf") == "meta-llama/Llama-2-13b-hf"
