"""What the reports print."""

from io import StringIO

from rich.console import Console

from reproduce import log, report


def printed(write, *, width=300, **options):
    console = Console(width=width, file=StringIO())
    write(console, **options)
    return console.file.getvalue()


def test_the_notes_report_has_every_benchmark_the_log_and_the_puzzle(notes_rows):
    text = printed(report.print_notes, rows=notes_rows)
    for expected in ("chain, 16 clients", "multi-agent", "TP 4", "naive estimate", "[8, 8, 8, 7]", "H100 with 7B"):
        assert expected in text


def test_fitted_rows_bear_a_star(notes_rows):
    text = printed(report.print_notes, rows=notes_rows)
    starred = [line for line in text.splitlines() if " * " in line and not line.startswith("*")]
    assert [line.split("  ")[0].strip() for line in starred] == ["Parrot baseline", log.FITTED]


def test_errors_of_the_closed_form_and_of_the_simulation_have_headers_of_their_own(notes_rows):
    text = printed(report.print_notes, rows=notes_rows, width=80)
    map_reduce = text.split("map-reduce: 13B")[1].split("Parrot main")[0]
    headers = map_reduce.split("───")[0].split()
    assert [headers.count(word) for word in ("closed", "error", "simulation", "fitted", "note")] == [2, 2, 1, 1, 1]


def test_the_notes_are_whole_on_80_columns(notes_rows):
    text = printed(report.print_notes, rows=notes_rows, width=80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "Parrot + FastChat" in text
    for figure in notes_rows["simulated (s)"]:
        assert f"{figure:.2f}" in text


def test_a_note_stands_below_its_table_under_its_number(notes_rows):
    text = printed(report.print_notes, rows=notes_rows, width=80)
    (row,) = [line for line in text.splitlines() if " * " in line and "Parrot baseline" in line]
    assert f"{row.split()[-1]}) sets the dispatcher's release of 0.19 s" in text


def test_figures_of_the_paper_are_whole_on_80_columns(figure_11_rows):
    text = printed(report.print_parrot, points=figure_11_rows, width=80)
    assert "…" not in text
    assert " article_9 chunk size 2048 " in text.split("figure 11, vllm_baseline")[1]
    for figure in figure_11_rows["published"]:
        assert f"{figure:.2f}" in text


def test_the_parrot_report_states_the_mean_error_and_names_what_is_off(figure_11_rows):
    text = printed(report.print_parrot, points=figure_11_rows, every_point=False)
    assert "mean absolute error: figure 11:" in text
    assert "165.66" in text.split("off by more than 2%")[1]
    assert "article_3" not in text
