"""Which vLLM the reference engine and the real backend work with."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version

#: First version tried, and the first one beyond the range. docs/lockstep.md has what differs outside it.
SUPPORTED = ("0.24.0", "0.25.0")


def require_vllm() -> str:
    """The installed vLLM's version.

    Notes
    -----
    `DOVETAIL_UNTESTED_VLLM=1` in the environment lets any version pass, to find out what differs (bench/versions.py).

    Raises
    ------
    ValueError
        When vLLM is not installed, or not of a supported version; the message names the range.
    """
    try:
        installed = version("vllm")
    except PackageNotFoundError:
        raise ValueError(f"vLLM is not installed; Dovetail works with {_RANGE} (docs/lockstep.md)") from None
    if os.environ.get("DOVETAIL_UNTESTED_VLLM") == "1":
        return installed
    if not _numbers(SUPPORTED[0]) <= _numbers(installed) < _numbers(SUPPORTED[1]):
        raise ValueError(f"vllm=={installed} is not supported; Dovetail works with {_RANGE} (docs/lockstep.md)")
    return installed


_RANGE = f"vllm>={SUPPORTED[0]},<{SUPPORTED[1]}"


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: (0, 24, 0) of "0.24.0+cpu"."""
    parts = text.partition("+")[0].split(".")[:3]
    return tuple(int("".join(character for character in part if character.isdigit()) or 0) for part in parts)
