"""What needs vLLM is skipped where vLLM is not installed."""

import pytest

from sim.vllm_version import require_vllm


@pytest.fixture(scope="session", autouse=True)
def vllm_version() -> str:
    """Version of the installed vLLM."""
    try:
        return require_vllm()
    except ValueError as error:
        pytest.skip(str(error))
