"""Hand-made records: three calls whose every metric can be computed in the head."""

import pandas as pd
import pytest

from traces.records import CALL_COLUMNS, STEP_COLUMNS


def call_row(**values):
    """One completed call on engine 0, all instants 0, with the given columns replaced."""
    row = dict.fromkeys(CALL_COLUMNS, 0.0)
    row |= {"app": "a", "call": "c", "stage": "map", "engine": 0, "status": "ok"}
    row |= {"num_prompt_tokens": 100, "num_output_tokens": 1, "num_cached_tokens": 0, "num_preemptions": 0}
    return row | values


@pytest.fixture
def calls():
    """Two maps and the reduce of application "a", arrived at 1 s; the second map waits and is preempted once."""
    times = ("submitted_at", "dispatched_at", "scheduled_at", "first_token_at", "finished_at")
    first = dict(zip(times, (1.25, 1.25, 1.25, 1.5, 2.5), strict=True))
    second = dict(zip(times, (1.25, 2.25, 2.5, 3.0, 5.0), strict=True))
    reduce = dict(zip(times, (5.25, 5.25, 5.25, 6.0, 6.0), strict=True))
    rows = [
        call_row(call="map0", app_arrived_at=1.0, num_output_tokens=11, **first),
        call_row(
            call="map1", app_arrived_at=1.0, num_output_tokens=5, num_cached_tokens=60, num_preemptions=1, **second
        ),
        call_row(call="reduce", stage="reduce", app_arrived_at=1.0, **reduce),
    ]
    return pd.DataFrame(rows, columns=CALL_COLUMNS)


@pytest.fixture
def steps():
    """Engine 0 busy for 1 + 2 + 0.5 s: one call in the first run of steps, two in the others."""
    times = [(1.25, 2.25, 10, 1, 0), (2.5, 4.5, 4, 2, 0), (4.5, 5.0, 1, 1, 1)]
    rows = []
    for started_at, finished_at, count, num_decodes, num_prefills in times:
        row = dict.fromkeys(STEP_COLUMNS, 0) | {"started_at": started_at, "finished_at": finished_at, "count": count}
        rows.append(row | {"num_decodes": num_decodes, "num_prefills": num_prefills})
    return pd.DataFrame(rows, columns=STEP_COLUMNS)
