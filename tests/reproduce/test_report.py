"""What the reports print."""

from io import StringIO

from rich.console import Console

from reproduce import report


def printed(write, **options):
    console = Console(width=300, file=StringIO())
    write(console, **options)
    return console.file.getvalue()


def test_the_notes_report_has_every_benchmark_the_log_and_the_puzzle(notes_rows):
    text = printed(report.print_notes, rows=notes_rows)
    for expected in ("chain, 16 clients", "multi-agent", "TP 4", "naive estimate", "[8, 8, 8, 7]", "H100 with 7B"):
        assert expected in text


def test_fitted_rows_bear_a_star(notes_rows):
    text = printed(report.print_notes, rows=notes_rows)
    starred = [line for line in text.splitlines() if "│ * │" in line]
    assert len(starred) == 1
    assert "Parrot baseline" in starred[0]


def test_the_parrot_report_states_the_mean_error_and_names_what_is_off(figure_11_rows):
    text = printed(report.print_parrot, points=figure_11_rows, every_point=False)
    assert "mean absolute error: figure 11:" in text
    assert "165.66" in text.split("off by more than 2%")[1]
    assert "article_3" not in text
