"""Published figures of the Parrot paper (reproduce/data/README.md names the source)."""

import pytest

from reproduce import parrot, parrot_chains, parrot_shared
from reproduce.cards import A100_7B
from reproduce.deployment import System, simulate
from reproduce.deployment import parrot as parrot_engine
from reproduce.figure import Point, summary, table
from reproduce.published import article_chunks, bingchat_lengths, figure

ERROR = "error of simulation (%)"

#: Published points that lie off their own neighbours, (system, article, chunk size): the baseline's is 16% above what
#: its other points say, Hugging Face's long chunks 4%.
OUTLIERS = {
    ("vllm_baseline", "article_7", "chunk size 1024"),
    ("huggingface", "article_2", "chunk size 2048"),
    ("huggingface", "article_6", "chunk size 2048"),
    ("huggingface", "article_9", "chunk size 1536"),
    ("huggingface", "article_9", "chunk size 2048"),
}


def test_figure_11_is_within_2_percent_but_for_five_of_120_points(figure_11_rows):
    """Tolerance: the project's target, on every article; the five are named and stay in the table."""
    assert len(figure_11_rows) == 120
    missed = parrot.misses(figure_11_rows)
    assert set(zip(missed["system"], missed["what"], missed["at"], strict=True)) == OUTLIERS


def test_parrots_own_chains_are_within_1_percent_on_articles_nothing_was_fitted_to(figure_11_rows):
    chosen = figure_11_rows[(figure_11_rows["system"] == "parrot") & ~figure_11_rows["fitted?"]]
    assert len(chosen) == 20
    assert chosen[ERROR].abs().max() < 1.0


def test_even_articles_of_figure_11_are_marked_as_fitted(figure_11_rows):
    fitted = figure_11_rows.loc[figure_11_rows["fitted?"], "what"].unique()
    assert sorted(fitted) == [f"article_{k}" for k in (0, 2, 4, 6, 8)]


def test_the_closed_form_of_a_chain_is_what_the_simulation_says(figure_11_rows):
    """Chains have neither queues nor batches, so only levels of unequal calls differ: means instead of lengths."""
    ratio = figure_11_rows["predicted in closed form"] / figure_11_rows["simulated"]
    assert ratio.to_numpy() == pytest.approx(1.0, rel=1e-3)


def test_background_calls_rank_behind_the_chain_and_start_before_it():
    workload = parrot_chains.chain_with_background((100, 100), 2.0, seed=0)
    chain, *background = workload.applications
    assert chain.arrival == 3.0
    assert background[0].arrival < 3.0
    assert {call.priority for app in background for call in app.calls} == {1}


def test_the_baselines_token_capacity_is_the_best_multiple_of_512_on_even_articles():
    errors = parrot_chains.fit_capacity()
    assert errors.idxmin() == parrot_chains.VLLM_CAPACITY


def test_a_shared_prompt_makes_the_bingchat_run_shorter_and_reading_it_once_shorter_still():
    """The order of figure 14 at batch size 8; its published times are 113.5, 68.0 and 67.0 s."""
    spans = []
    for sharing in ({}, {"share_prompts": 1}, {"share_prompts": 1, "read_shared_once": 1}):
        engine = parrot_engine(num_blocks=6800, max_num_seqs=8, max_num_batched_tokens=10**6, **sharing)
        system = System("parrot", "parrot", engine, orchestration="service", network_latency=0.0)
        calls = simulate(parrot_shared.bingchat(), system, A100_7B.profile("parrot"))["calls"]
        spans.append(calls["finished_at"].max())
    assert spans == sorted(spans, reverse=True)
    assert spans[0] == pytest.approx(113.5, rel=0.10)  # 10%: not a target, but nothing was fitted to it either


def test_normalized_latency_is_the_mean_over_calls_of_latency_by_output_tokens():
    workload = parrot_shared.assistants_at(0.001, 2)
    calls = simulate(workload, parrot_shared.FIGURE_16["vllm_baseline"], A100_7B.profile("vllm-2023"))["calls"]
    by_hand = ((calls["finished_at"] - calls["app_arrived_at"]) / calls["num_output_tokens"]).sum() / 2
    assert parrot_shared.normalized_latency_ms(calls) == pytest.approx(1000 * by_hand)


def test_published_tables_are_whole():
    assert {number: len(figure(number)) for number in ("11", "12a", "13", "14", "16")} == {
        "11": 120,
        "12a": 100,
        "13": 120,
        "14": 10,
        "16": 17,
    }
    assert len(bingchat_lengths()) == 64
    assert len(article_chunks()["article_0", 1024]) == 75


def test_the_summary_keeps_fitted_and_predicted_points_apart():
    points = [
        Point("11", "parrot", "a", "x", 10.0, 9.0, value, fitted) for value, fitted in ((11.0, True), (9.5, False))
    ]
    errors = summary(table(points)).set_index("fitted?")["mean absolute error (%)"]
    assert errors.to_dict() == pytest.approx({True: 10.0, False: 5.0})
