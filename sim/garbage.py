"""Pausing Python's cycle collector while nothing makes cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """No cycle collection inside.

    A simulation holds millions of live objects and makes no reference cycles, so each collection walks them all and
    frees nothing; that took a quarter of the time of a large run.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
