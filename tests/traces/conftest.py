"""Fixtures of the tests of traces."""

from pathlib import Path

import pytest

#: Published traces lie beside the repository; they are not part of it.
DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def data() -> Path:
    """Folder of the published traces."""
    if not DATA.is_dir():
        pytest.skip(f"the published traces are not at {DATA}")
    return DATA
