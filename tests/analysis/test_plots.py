"""Pictures: what is placed where, and that each is written as a PNG and an SVG with something on it."""

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from analysis.plots import style
from analysis.plots.cdf import MAX_POINTS, cdf_points, latency_cdf
from analysis.plots.gantt import OTHER_STAGES, gantt, lanes, legend_stages, place
from analysis.plots.sweep_lines import lines_by_workload
from analysis.plots.workload import describe_workload, level_widths
from traces.workload import Application, Call, Workload, output_of, text


def many_calls(calls, num_copies):
    """The three calls of conftest.py, again and again, ten seconds apart."""
    instants = [column for column in calls.columns if column.endswith("_at")]
    return pd.concat([calls.assign(**{name: calls[name] + 10.0 * k for name in instants}) for k in range(num_copies)])


def map_reduce_workload(num_maps, arrival=0.0):
    maps = [Call(f"map{i}", (text(f"chunk{i}", 1000),), 50, stage="map") for i in range(num_maps)]
    parts = tuple(output_of(call.id) for call in maps)
    reduce = Call("reduce", parts, 50, stage="reduce", deps=tuple(call.id for call in maps))
    return Workload("map-reduce", (Application("m", arrival, (*maps, reduce)),))


SINGLE = Workload("single", (Application("s", 0.0, (Call("c", (text("t", 5),), 1),)),))


def assert_picture(figure, tmp_path):
    """A PNG with ink in several colours, and an SVG beside it."""
    png, svg = style.save(figure, tmp_path / "picture")
    pixels = matplotlib.image.imread(png)[..., :3]
    assert pixels.std() > 0.02
    assert len(np.unique(pixels[::5, ::5].reshape(-1, 3).round(1), axis=0)) > 8
    assert b"<svg" in svg.read_bytes()


def test_the_cdf_picture_is_drawn_for_several_policies(calls, tmp_path):
    runs = {"fifo": many_calls(calls, 20), "random": many_calls(calls, 1500)}
    figure = latency_cdf(runs, caption="A100", shown=("ttft", "tpot", "e2e"))
    assert [ax.get_title(loc="left") for ax in figure.axes[:2]] == ["map (n = 40 to 3,000)", "reduce (n = 20 to 1,500)"]
    assert_picture(figure, tmp_path)


def test_a_cdf_rises_from_zero_at_the_first_value_to_one_at_the_last():
    seconds, shares = cdf_points(pd.Series([3.0, 1.0, np.nan]))
    assert list(zip(seconds, shares, strict=True)) == [(1.0, 0.0), (1.0, 0.5), (3.0, 1.0)]


def test_a_long_cdf_keeps_its_ends_and_few_points():
    seconds, shares = cdf_points(pd.Series(np.arange(50_000.0)))
    assert len(seconds) == MAX_POINTS + 1
    assert (seconds[0], seconds[-1], shares[-1]) == (0.0, 49_999.0, 1.0)


def test_with_too_many_stages_the_largest_are_drawn_and_the_rest_counted(calls):
    rows = [calls.iloc[:1].assign(stage=stage) for stage in ("a", "b", "b", "c", "c", "c")]
    figure = latency_cdf({"fifo": pd.concat(rows)}, max_stages=2)
    assert [ax.get_title(loc="left") for ax in figure.axes[:2]] == ["b (n = 2)", "c (n = 3)"]
    assert figure.axes[1].get_title(loc="right") == "(+ 1 more stage)"


def test_a_cdf_of_nothing_is_refused(calls):
    with pytest.raises(ValueError, match="no completed call"):
        latency_cdf({"fifo": calls.assign(status="aborted")})


def test_the_gantt_picture_is_drawn_for_several_policies(calls, tmp_path):
    figure = gantt({"fifo": calls, "random": many_calls(calls, 3)}, caption="A100")
    assert figure.axes[0].get_xlim()[1] == figure.axes[1].get_xlim()[1] > 26.0
    assert_picture(figure, tmp_path)


def test_lanes_are_as_many_as_calls_open_at_once():
    starts, ends = [0.0, 1.0, 2.0, 2.0], [2.0, 3.0, 4.0, 5.0]
    assert lanes(starts, ends) == [0, 1, 0, 2]


def test_calls_beyond_the_limit_are_left_out_and_the_title_says_so(calls):
    panel = place("fifo", many_calls(calls, 10), max_calls=6)
    assert panel.title == "fifo (first 6 of 30 calls)"
    assert panel.until == 21.25


def test_a_crowd_of_waiting_calls_is_not_drawn(calls):
    crowd = pd.concat(
        [calls[:1].assign(scheduled_at=k, first_token_at=k + 0.5, finished_at=k + 1) for k in range(2, 202)]
    )
    panel = place("fifo", crowd, max_calls=1000)
    assert panel.title == "fifo (waiting not drawn)"
    assert panel.num_lanes == 1


def test_with_more_stages_than_colours_the_smaller_share_one():
    stages = pd.Series([f"s{k}" for k in range(9) for _ in range(k + 1)])
    assert legend_stages(stages) == ["s3", "s4", "s5", "s6", "s7", "s8", OTHER_STAGES]


def test_a_gantt_chart_without_runs_is_refused():
    with pytest.raises(ValueError, match="at least one run"):
        gantt({})


def test_a_gantt_chart_of_nothing_is_refused(calls):
    with pytest.raises(ValueError, match="run 'fifo' has no completed call"):
        gantt({"fifo": calls.assign(status="aborted")})


def test_the_workload_picture_is_drawn(tmp_path):
    apart = [map_reduce_workload(4, arrival).applications[0] for arrival in (0.0, 1.0, 5.0)]
    assert_picture(describe_workload(Workload("three", tuple(apart)), caption="generated"), tmp_path)


def test_a_workload_of_one_application_has_a_picture(tmp_path):
    assert_picture(describe_workload(map_reduce_workload(3)), tmp_path)


@pytest.mark.parametrize("workload", [map_reduce_workload(3), SINGLE], ids=["two levels", "one level"])
def test_bars_of_graph_width_lie_within_the_picture(workload):
    (widths,) = [ax for ax in describe_workload(workload).axes if ax.get_xlabel() == "depth in the graph"]
    left, right = widths.get_xlim()
    assert all(left < bar.get_x() and bar.get_x() + bar.get_width() < right for bar in widths.patches)


def test_the_same_records_give_the_same_svg(calls, tmp_path):
    first, second = (style.save(gantt({"fifo": calls}), tmp_path / name, ["svg"])[0] for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_width_by_depth_averages_the_applications_that_are_that_deep():
    wide, narrow = map_reduce_workload(4).applications[0], map_reduce_workload(2).applications[0]
    single = Application("s", 0.0, (Call("c", (text("t", 5),), 1),))
    widths = level_widths(Workload("mix", (wide, narrow, single)))
    assert widths["mean"].tolist() == pytest.approx([7 / 3, 1.0])
    assert widths["largest"].tolist() == [4, 1]
    assert widths.index.tolist() == [1, 2]  # as `traces.describe` counts


@pytest.mark.parametrize("policies", [["fifo"], ["fifo", "gang", "oracle"]])
def test_policies_of_a_sweep_stand_evenly_around_their_load(policies):
    fixed = {"workload": "w", "mean": 2.0, "low": 1.5, "high": 2.5, "is_saturated": False}
    settings = [(load, policy) for load in (0.3, 0.5) for policy in policies]
    rows = [{"load": load, "policy": policy, "figure": "jct_mean", **fixed} for load, policy in settings]
    (ax,) = lines_by_workload(pd.DataFrame(rows), "load", "offered load", oracle="oracle").axes
    places = [line.get_xdata() for line in ax.lines if line.get_marker() in list("osD")]
    assert np.mean(places, axis=0) == pytest.approx([0.3, 0.5])
