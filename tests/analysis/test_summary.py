"""The summary of a run and its tables."""

import json
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from analysis.summary import ALL_STAGES, STATISTICS, busy_time, compare, statistics, summarise
from analysis.tables import COMPARISON_UNITS, summary_tables, table


def shown(renderable):
    console = Console(width=200, record=True, file=StringIO())
    console.print(renderable)
    return console.export_text()


def test_statistics_are_the_mean_and_linear_percentiles(calls):
    values = calls["finished_at"].sample(frac=1, random_state=0)
    expected = [3, 4.5, *np.percentile([2.5, 5.0, 6.0], [50, 90, 95, 99])]
    assert [statistics(values)[name] for name in STATISTICS] == pytest.approx(expected)


def test_latency_is_summarised_per_stage_and_over_all_calls(calls, steps):
    summary = summarise(calls, steps)
    assert list(summary.latency["stage"].unique()) == [ALL_STAGES, "map", "reduce"]
    assert summary.statistic("ttft", "mean", "map") == pytest.approx((0.25 + 1.75) / 2)
    assert summary.statistic("ttft", "mean") == pytest.approx((0.25 + 1.75 + 0.75) / 3)


def test_single_token_calls_are_left_out_of_mean_tpot(calls, steps):
    summary = summarise(calls, steps)
    assert summary.statistic("tpot", "num") == 2
    assert summary.statistic("tpot", "mean") == pytest.approx(0.3)


def test_totals_hold_the_figures_of_the_run(calls, steps):
    totals = summarise(calls, steps).totals
    assert totals["makespan"] == 5.0
    assert totals["num_calls"] == 3
    assert totals["num_preemptions"] == 1
    assert totals["cache_hit_share"] == pytest.approx(0.2)


def test_busy_share_is_step_time_over_makespan(calls, steps):
    engine = summarise(calls, steps).engines.iloc[0]
    assert engine["busy_share"] == pytest.approx(3.5 / 5.0)
    assert engine["num_steps"] == 15
    assert engine["mean_batch"] == pytest.approx((1 * 1 + 2 * 2 + 0.5 * 2) / 3.5)


def test_overlapping_steps_are_not_counted_twice(steps):
    overlapped = steps.assign(started_at=steps["started_at"] - 0.25)
    assert busy_time(overlapped) == pytest.approx((2.25 - 1.0) + (5.0 - 2.25))


def test_the_summary_is_json_and_undefined_values_are_null(calls, steps):
    calls["num_output_tokens"] = 1
    text = json.dumps(summarise(calls, steps).to_dict(), allow_nan=False)
    rows = json.loads(text)["latency"]
    assert next(row for row in rows if row["metric"] == "tpot")["mean"] is None


def test_a_run_in_which_every_call_failed_has_a_summary(calls, steps):
    summary = summarise(calls.assign(status="aborted"), steps)
    assert summary.totals["num_failed_calls"] == 3
    assert summary.totals["num_failed_applications"] == 1
    assert summary.to_dict()["totals"]["makespan"] is None


def test_a_run_without_calls_is_refused(calls, steps):
    with pytest.raises(ValueError, match="calls has 0 rows"):
        summarise(calls[:0], steps)


def test_an_unknown_stage_is_refused_by_name(calls, steps):
    with pytest.raises(ValueError, match="stage='shuffle'"):
        summarise(calls, steps).statistic("ttft", "mean", "shuffle")


def test_tables_name_the_unit_and_show_milliseconds(calls, steps):
    text = "".join(map(shown, summary_tables(summarise(calls, steps), caption="2 x A100")))
    assert "p95 (ms)" in text
    assert "1,000.0" in text  # mean TTFT of the two maps
    assert "2 x A100" in text


def test_policies_stand_side_by_side_one_row_each(calls, steps):
    summary = summarise(calls, steps)
    frame = compare({"fifo": summary, "stage-priority": summary})
    assert list(frame["policy"]) == ["fifo", "stage-priority"]
    assert "JCT mean (s)" in shown(table(frame, COMPARISON_UNITS))


def test_figures_are_never_cut_on_a_narrow_terminal(calls, steps):
    calls["finished_at"] += 123_456.0
    narrow = Console(width=80, file=StringIO())
    for part in summary_tables(summarise(calls, steps)):
        narrow.print(part)
    assert "…" not in narrow.file.getvalue()
    assert "123,461.000" in narrow.file.getvalue()


def test_a_run_of_one_stage_shows_its_latencies_once(calls, steps):
    one, two = (shown(summary_tables(summarise(each, steps))[0]) for each in (calls.assign(stage="map"), calls))
    assert one.count("TTFT") == 1
    assert two.count("TTFT") == 3
