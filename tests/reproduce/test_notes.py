"""Rows of the benchmark notes against their published means (reproduce/data/README.md names the source)."""

import pytest

from reproduce import systems, workloads
from reproduce.cards import A100_7B, A100_13B
from reproduce.closed_form import predicted
from reproduce.notes import ALTERNATIVE, COLUMNS, figures

ERROR = "error of simulation (%)"

#: Published as 15.29 s and later as 23.57 s for no visible reason: shown with both, reproduced as one of them.
TWO_FIGURES = systems.LANGCHAIN_VLLM.name


def one_gpu(rows):
    chosen = rows[rows["GPU"].eq("A100-80GB") & rows["published mean (s)"].notna() & ~rows["fitted?"]]
    alternative = chosen["note"].str.startswith(ALTERNATIVE)
    first_figure = chosen["system"].eq(TWO_FIGURES) & chosen["published mean (s)"].lt(20)
    return chosen[~alternative & ~first_figure]


def test_vllm_and_parrot_rows_on_one_gpu_are_within_5_percent(notes_rows):
    """Tolerance: the project's target for rows that no constant was fitted to."""
    rows = one_gpu(notes_rows)
    rows = rows[~rows["system"].str.contains("w/o vLLM")]
    assert len(rows) == 9
    assert rows[ERROR].abs().max() <= 5.0


def test_hugging_face_rows_on_one_gpu_are_within_10_percent(notes_rows):
    """Tolerance: the project's target."""
    rows = one_gpu(notes_rows)
    rows = rows[rows["system"].str.contains("w/o vLLM")]
    assert len(rows) == 4
    assert rows[ERROR].abs().max() <= 10.0


def test_the_closed_form_is_as_near_to_the_rows_on_one_gpu_as_the_simulation(notes_rows):
    """Tolerances as for the simulation; the closed form is the only one that docs/profiles.md refers to."""
    rows = one_gpu(notes_rows)
    is_hugging_face = rows["system"].str.contains("w/o vLLM")
    errors = rows["error of prediction (%)"].abs()
    assert errors[is_hugging_face].max() <= 10.0
    assert errors[~is_hugging_face].max() <= 5.0


def test_the_release_time_is_the_one_that_meets_the_row_it_is_fitted_to(notes_rows):
    """0.05 s: half a last digit of the constant, times seven releases, and a little for rounding of the mean."""
    (row,) = notes_rows[notes_rows["fitted?"]].to_dict("records")
    assert row["predicted in closed form (s)"] == pytest.approx(row["published mean (s)"], abs=0.05)


def test_four_a6000_predict_the_four_gpu_row_of_parrot_main(notes_rows):
    """Published: 5.30 s. Not fitted; the card is not stated, and 5% is the project's target."""
    rows = notes_rows[notes_rows["GPU"].eq("4x RTX A6000") & notes_rows["system"].eq("Parrot main")]
    assert rows["error of prediction (%)"].abs().tolist() == [pytest.approx(0, abs=5.0)]


@pytest.mark.parametrize(
    ("benchmark", "num_rows"),
    [
        ("chain", 8),
        ("map-reduce", 10),
        ("map-reduce, 4 GPUs", 24),
        ("map-reduce, 4 GPUs, TP", 4),
        ("chain, 16 clients", 4),
        ("chain, long constant prefix", 4),
        ("chatbots", 4),
        ("multi-agent", 4),
    ],
)
def test_every_system_of_every_benchmark_has_a_row(notes_rows, benchmark, num_rows):
    rows = notes_rows[notes_rows["benchmark"] == benchmark]
    assert len(rows) == num_rows
    assert rows["simulated (s)"].gt(0).all()
    assert tuple(notes_rows.columns) == COLUMNS


def test_the_row_with_two_published_figures_is_shown_with_both(notes_rows):
    rows = notes_rows[(notes_rows["system"] == TWO_FIGURES) & (notes_rows["benchmark"] == "map-reduce")]
    published = rows.loc[rows["model"] == "13B", "published mean (s)"].round(2).tolist()
    assert published == [15.29, 23.57]


def test_only_the_row_that_set_a_constant_is_marked_as_fitted(notes_rows):
    fitted = notes_rows[notes_rows["fitted?"]]
    assert fitted[["benchmark", "system"]].values.tolist() == [["map-reduce", "Parrot baseline"]]


def test_rows_without_a_published_figure_have_no_error(notes_rows):
    unpublished = notes_rows[notes_rows["published mean (s)"].isna()]
    assert unpublished[ERROR].isna().all()
    assert unpublished["note"].str.contains("no figure published").all()


def test_published_means_are_those_of_the_listed_runs():
    """Means worked out by hand from the notes; 17.37 and 32.66 are also in the notes' summary."""
    assert figures("chain", 1, "FastChat (w/o vLLM)", "7B") == [pytest.approx(17.37, abs=0.005)]
    assert figures("map-reduce", 1, "Parrot + FastChat (w/o vLLM)", "13B") == [pytest.approx(32.66, abs=0.005)]
    assert figures("map-reduce", 4, "Parrot main", "7B") == [pytest.approx(5.30, abs=0.005)]


def test_langchain_sends_one_call_after_another():
    workload = workloads.one_after_another(workloads.notes_map_reduce(3))
    deps = [call.deps for call in workload.applications[0].calls]
    assert deps == [(), ("map0",), ("map1",), ("map0", "map1", "map2")]


def test_a_chain_in_closed_form_is_twenty_calls_and_twenty_round_trips():
    terms = predicted(workloads.notes_chain(), systems.FASTCHAT_VLLM, A100_7B.profile("vllm-2023"))
    network = next(term for term in terms if term.label == "network")
    assert network.seconds == pytest.approx(20 * 0.25)


def test_the_closed_form_of_parrots_baseline_has_seven_releases():
    """15 maps two at a time are eight rounds."""
    terms = predicted(workloads.notes_map_reduce(15), systems.BASELINE, A100_13B.profile("parrot"))
    assert terms[-1].formula == "7 x 0.19 s"
