"""Rows of the reproductions, computed once for all tests that look at them."""

import pytest

from reproduce import notes
from reproduce.figure import table
from reproduce.parrot_chains import figure_11


@pytest.fixture(scope="session")
def notes_rows():
    return notes.rows()


@pytest.fixture(scope="session")
def figure_11_rows():
    return table(figure_11())
