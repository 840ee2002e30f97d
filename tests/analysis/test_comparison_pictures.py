"""Pictures and report of a comparison: of a short simulation and its own records stretched by 5%, which stand in for a
measured run and are not one."""

import json
import re
from dataclasses import replace
from io import StringIO

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from rich.console import Console

import analysis
from analysis.comparison.critical_path import PART_NAMES
from analysis.comparison.tables import comparison_tables
from analysis.plots import style
from analysis.plots.comparison import comparison_figures
from analysis.plots.errors import waterfall
from analysis.plots.ranking import ranking_figure
from analysis.plots.scatter import MAX_DOTS, scatter, thinned
from analysis.ranking import rank_policies
from analysis.report.page import render
from policies.least_loaded import LeastLoaded
from sim.profile import load_profile
from sim.run import SimulatedCluster, settings_of, simulate
from traces.arrivals import poisson_arrivals
from traces.generators.mapreduce import map_reduce


def run(workload, num_engines):
    profile = load_profile("h100-llama-13b")
    cluster = SimulatedCluster(profile, num_engines, settings_of(profile))
    records = simulate(workload, LeastLoaded(), cluster)
    return replace(records, manifest={**records.manifest, "command": ["<not> measured"]})


def printed(comparison, width):
    """Tables of a comparison as they stand on a terminal, runs of spaces as one."""
    console = Console(record=True, width=width, file=StringIO())
    console.print(*comparison_tables(comparison))
    return " ".join(console.export_text().split())


@pytest.fixture(scope="module")
def runs():
    """Twelve map-reduces; in the stand-in for the measured run every instant is 5% later."""
    workload = map_reduce(6, poisson_arrivals(1.0, 12, np.random.default_rng(0)))
    simulated = run(workload, 2)
    calls, steps, decisions = (
        frame.assign(**{name: 1.05 * frame[name] for name in frame if name == "at" or name.endswith("_at")})
        for frame in (simulated.calls, simulated.steps, simulated.decisions)
    )
    return simulated, replace(simulated, calls=calls, steps=steps, decisions=decisions)


@pytest.fixture(scope="module")
def comparison(runs):
    return analysis.compare_runs(*runs)


def test_a_stretched_run_differs_in_cost_and_not_in_decisions(comparison):
    assert comparison.divergence.agreement.share == 1.0
    assert comparison.divergence.position is None
    way = comparison.recosted.table().iloc[0]
    assert way["schedule"] == pytest.approx(0.0, abs=1e-3 * abs(way["difference"]))
    assert comparison.makespan["error"] == pytest.approx(1 / 1.05 - 1)


def test_the_first_different_decision_is_shown_with_what_lay_before_it(runs):
    simulated, measured = runs
    moved = measured.decisions.copy()
    moved.loc[4, "engine"] = 1 - moved.loc[4, "engine"]
    found = analysis.compare_runs(simulated, replace(measured, decisions=moved)).divergence
    assert found.position == 4
    assert found.simulated.call == found.measured.call
    assert found.simulated.engine != found.measured.engine
    assert found.measured.at == pytest.approx(1.05 * found.simulated.at)
    assert [each["engine"] for each in found.simulated.engines] == [0, 1]


def test_the_load_of_every_engine_is_shown_however_narrow_the_terminal(runs):
    simulated, measured = runs
    moved = measured.decisions.copy()
    moved.loc[4, "engine"] = 1 - moved.loc[4, "engine"]
    shown = printed(analysis.compare_runs(simulated, replace(measured, decisions=moved)), width=90)
    assert shown.count("engine 0 has") == shown.count("engine 1 has") == 2


def test_every_picture_is_written_with_ink_on_it(runs, comparison, tmp_path):
    names = []
    for name, figure in comparison_figures(*runs, comparison):
        png, svg = style.save(figure, tmp_path / name)
        assert matplotlib.image.imread(png)[..., :3].std() > 0.02, name
        text = svg.read_text()
        assert "map-reduce" in text, f"{name} has no caption"
        names.append(name)
    assert names == ["scatter", "latency_cdf", "stage_errors", "error_split", "gantt", "step_residuals"]


@pytest.fixture
def virtual_runs(runs):
    """The second run as one on the virtual device."""
    simulated, other = runs
    devices = {"backend": "vllm", "devices": ["virtual (profile h100-llama-13b)"], "command": []}
    return simulated, replace(other, manifest={**other.manifest, **devices})


def test_pictures_of_a_run_on_the_virtual_device_do_not_call_it_measured(virtual_runs):
    for name, figure in comparison_figures(*virtual_runs, analysis.compare_runs(*virtual_runs)):
        words = {text.get_text() for text in figure.findobj(Text)}
        assert not [line for line in words if "measured" in line.lower()], name
        assert any("irtual device" in line for line in words), name


def test_no_heading_or_column_of_a_report_calls_a_run_on_the_virtual_device_measured(virtual_runs):
    page = render(*virtual_runs, analysis.compare_runs(*virtual_runs))
    shown = re.findall(r"<(title|h1|h2|th|dt|td|p)\b[^>]*>([^<]*)", page)
    titles = {text for _, text in shown if "&lt;not&gt; measured" not in text}
    assert not [title for title in titles if "measured" in title.lower()]
    assert {"Simulated against virtual device", "virtual device (ms)", "makespan, virtual device"} <= titles


def test_no_table_calls_a_second_simulation_measured(comparison):
    shown = printed(comparison, width=200)
    assert "second simulation (ms)" in shown
    assert "measured" not in shown


def test_square_panels_lie_between_legend_and_caption(comparison):
    figure = scatter(comparison, caption="one line of text after the other " * 5)
    draw = FigureCanvasAgg(figure).get_renderer()
    figure.canvas.draw()
    (legend,), (caption,) = figure.legends, [t for t in figure.texts if "one line" in t.get_text()]
    for ax in figure.axes:
        panel = ax.get_tightbbox(draw)
        assert caption.get_window_extent(draw).y1 < panel.y0 < panel.y1 < legend.get_window_extent(draw).y0


def test_the_waterfall_leads_from_the_measured_to_the_simulated_mean(comparison):
    bars = waterfall(comparison.split).axes[0].patches
    assert len(bars) == len(PART_NAMES) + 2
    end = bars[-2].get_y() + bars[-2].get_height()
    assert end == pytest.approx(bars[-1].get_height())


def test_a_waterfall_of_nothing_is_refused(comparison):
    with pytest.raises(ValueError, match="no application completed in both runs"):
        waterfall(comparison.split[:0])


def test_many_dots_are_thinned_and_keep_their_ends():
    pairs = pd.DataFrame({"measured": np.arange(100_000.0), "simulated": 1.0, "stage": "s"})
    drawn = thinned(pairs)["measured"]
    assert len(drawn) == MAX_DOTS
    assert (drawn.min(), drawn.max()) == (0.0, 99_999.0)


def test_the_ranking_picture_has_a_panel_a_scenario(tmp_path):
    rows = [(s, p, "0", 1.0 + len(p), 1.1 + len(p)) for s in ("x", "y", "z") for p in ("fifo", "random")]
    table = pd.DataFrame(rows, columns=["scenario", "policy", "repeat", "simulated", "measured"])
    figure = ranking_figure(rank_policies(table), merit="mean JCT (s)", caption="two H100")
    assert [ax.get_title(loc="left") for ax in figure.axes if ax.get_visible()] == ["x", "y", "z"]
    style.save(figure, tmp_path / "ranking", formats=("png",))


def test_the_report_is_one_page_that_asks_for_nothing_else(runs, comparison):
    page = render(*runs, comparison)
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", page)
    assert "<script" not in page
    assert "url(" not in page
    assert page.count("<img ") == 6
    assert "&lt;not&gt; measured" in page  # manifests are text, never markup


def test_the_report_marks_settings_that_differ(runs, comparison):
    simulated, measured = runs
    other = replace(measured, manifest={**measured.manifest, "num_engines": 3})
    page = render(simulated, other, analysis.compare_runs(simulated, other))
    assert re.search(r'<tr class="differs"><td>num_engines</td><td>2</td><td>3</td>', page)
    assert page.count('class="differs"') == 1
    assert "number of engines differs: simulated 2, second simulation 3" in page


def test_the_comparison_is_json_without_undefined_numbers(comparison):
    data = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert {row["metric"] for row in data["errors"]} == {"ttft", "tpot", "e2e", "jct"}
    assert all(sum(row[name] for name in PART_NAMES) == row["error"] for row in data["applications"])


def test_public_names_are_there_and_others_are_not():
    assert all(hasattr(analysis, name) for name in analysis.__all__)
    assert not hasattr(analysis, "no_such_name")
