"""Which stages get a row, a panel or a colour of their own when there are many."""

from __future__ import annotations

import pandas as pd


def largest_stages(stage_of_call: pd.Series, most: int) -> list[str]:
    """Stages with the most calls, at most `most` of them, in order of first appearance.

    Examples
    --------
    >>> largest_stages(pd.Series(["a", "b", "b", "c", "c"]), 2)
    ['b', 'c']
    """
    kept = set(stage_of_call.value_counts().index[:most])
    return [stage for stage in stage_of_call.unique() if stage in kept]
