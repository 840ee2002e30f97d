"""What each step ran is worked out from a point's calls, or the point is given up."""

import gzip
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from realexec.calibration.raw import RawMeasurement
from realexec.calibration.replay import _Call, batch_sharing, replayed
from realexec.calibration.samples import samples_of
from sim.step_cost import hit_share


@pytest.fixture(scope="module")
def steps(raw):
    steps, broken = replayed(raw)
    assert broken == []
    return steps


def test_every_recorded_step_is_explained(steps, raw):
    assert len(steps) == (raw.steps.num_decodes + raw.steps.num_prefills > 0).sum()


def test_replayed_loads_cost_what_the_simulated_engine_took(steps, known):
    cost = known.step_cost(async_scheduling=True)
    for step in steps:
        if not step.is_first:
            seconds = cost.step(step.num_decodes, step.num_context_tokens, step.prefills, step.sharing)
            assert step.seconds == pytest.approx(seconds, rel=1e-6)


def test_the_first_step_of_an_idle_engine_is_told_from_the_others(steps, known):
    cost = known.step_cost(async_scheduling=True)
    firsts = [step for step in steps if step.is_first and step.kind == "idle"]
    assert firsts
    for step in firsts:
        launch = step.seconds - cost.step(0, 0, step.prefills)
        assert launch == pytest.approx(known.overheads.idle_start, abs=1e-9)


def test_calls_with_one_cached_prefix_share_its_tokens(steps):
    shared = [step.sharing for step in steps if step.point.startswith("sharing 1 x 512") and step.num_decodes == 8]
    assert shared
    assert all(each == (7 * 512, 512, 28 * 512) for each in shared)


def test_a_point_whose_records_do_not_add_up_is_given_up(raw):
    steps = raw.steps.reset_index(drop=True)
    steps.loc[steps.index[steps.num_decodes > 3][5], "num_context_tokens"] += 1
    _, broken = replayed(RawMeasurement(raw.engine, raw.points, raw.calls, steps))
    assert len(broken) == 1
    assert "context" in broken[0] or "tokens" in broken[0]


def test_a_run_of_decode_steps_gives_one_sample_at_its_mean_context(steps):
    run = [step for step in steps if step.point == "decode context 64 staircase 0" and step.num_decodes == 16]
    samples = [s for s in samples_of(steps) if s.point.startswith(run[0].point) and s.loads[0].num_decodes == 16]
    (sample,) = [s for s in samples if not s.has_prefills]
    assert sample.num_steps == len(run) - 2
    contexts = [step.num_context_tokens for step in run[2:]]
    assert min(contexts) < sample.loads[0].num_context_tokens < max(contexts)


def test_a_prefill_is_sampled_with_the_steps_around_it(steps, known):
    cost = known.step_cost(async_scheduling=True)
    windows = [sample for sample in samples_of(steps) if sample.kind == "prefill" and sample.has_prefills]
    for window in windows:
        assert not window.loads[-1].prefills
        assert bool(window.loads[0].prefills) == window.is_first
        if not window.is_first:
            assert window.seconds == pytest.approx(sum(cost.step(*load) for load in window.loads), rel=1e-6)


def test_an_end_that_was_noted_late_does_not_change_its_window(steps):
    index = next(i for i, step in enumerate(steps) if step.kind == "prefill" and step.prefills and not step.is_first)
    late = list(steps)
    late[index - 1] = late[index - 1]._replace(seconds=late[index - 1].seconds + 0.005)
    late[index] = late[index]._replace(seconds=late[index].seconds - 0.005)
    again, before = ([s.seconds for s in samples_of(each) if s.has_prefills] for each in (late, steps))
    assert again == pytest.approx(before, rel=1e-12)


def test_a_raw_measurement_comes_back_from_its_files(raw, small_plan, tmp_path):
    from realexec.calibration.raw import read_raw, write_raw

    write_raw(tmp_path, raw, small_plan)
    assert replayed(read_raw(tmp_path)) == replayed(raw)
    assert len(msgspec.json.decode(gzip.decompress((tmp_path / "plan.json.gz").read_bytes()))) == len(small_plan)


def test_a_folder_without_a_calibration_is_refused(tmp_path):
    from realexec.calibration.raw import read_raw

    with pytest.raises(ValueError, match=r"no engine\.json"):
        read_raw(tmp_path)


def call(prefix, name):
    """A decoding call behind a cached prefix of 512 tokens."""
    fields = {"prefix": prefix, "num_prompt_tokens": 600, "num_cached_tokens": 512, "num_output_tokens": 5}
    return SimpleNamespace(Index=name, **fields)


@pytest.mark.parametrize(
    ("order", "num_different"), [("aabb" * 8, 2.3), ("ab" * 16, 2), ("abcd" * 8, 4), ("a" * 32, 1), ("abac" * 8, 3)]
)
def test_neighbours_in_a_known_order_have_as_many_prefixes_as_counted(order, num_different):
    """`hit_share` of a random order with these pairs has as many prefixes among four neighbours as this order."""
    sharing = batch_sharing([_Call(call(prefix, index)) for index, prefix in enumerate(order)], 4)
    windows = [len(set(order[first : first + 4])) for first in range(len(order) - 3)]
    counted = sum(windows) / len(windows)
    assert counted == pytest.approx(num_different, abs=0.3)
    assert hit_share(sharing, 32, 100, 4) == pytest.approx((4 - counted) / 3)  # the cache holds none of these tokens


def test_calls_that_share_nothing_count_in_a_known_order_as_in_a_random_one():
    """Forty of sixty calls behind two prefixes, drawn a hundred times."""
    rng, known = np.random.default_rng(0), []
    calls = [_Call(call(prefix, index)) for index, prefix in enumerate("a" * 20 + "b" * 20)]
    calls += [_Call(call("", index)) for index in range(40, 60)]
    for _ in range(100):
        order = [calls[index] for index in rng.permutation(60).tolist()]
        known.append(hit_share(batch_sharing(order, 4), 60, 100, 4))
    assert np.mean(known) == pytest.approx(hit_share(batch_sharing(calls, 0), 60, 100, 4), abs=0.02)


def test_without_a_width_calls_count_as_in_random_order():
    sharing = batch_sharing([_Call(call(prefix, index)) for index, prefix in enumerate("ab" * 4 + "x")], 0)
    assert sharing == (6 * 512, 2 * 512, 12 * 512)
