"""What each recorded step ran, worked out from the calls of its point.

An engine's records say how many calls decoded in a step and how many tokens it prefilled, not in which chunks nor who
shared a prefix. That follows from the order of admission, since a point's calls are served first come, first served
and none is preempted: every prefilling call but the last completes, the last gets the rest. A step whose decoding calls
or context then differ from the records ends the replay of its point; nothing is guessed.

Calls stand in a batch in their order, so it is known, too, how many prefixes neighbours have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pandas as pd
from scipy.optimize import brentq

from realexec.calibration.raw import RawMeasurement
from sim.step_cost import UNSHARED, Sharing, distinct_prefixes


class Step(NamedTuple):
    """One step of a point; the load as in `sim.step_cost.StepCost.step`.

    `is_first` is the first one of an idle engine: its launch is not hidden. `seconds` counts from the end of the step
    before, or from planning where the engine was idle.
    """

    point: str
    kind: str
    held_out: bool
    asynchronous: bool
    is_first: bool
    seconds: float
    num_decodes: int
    num_context_tokens: int
    sharing: Sharing
    prefills: tuple[tuple[int, int], ...]


class _Call:
    """A call on its way through the replay."""

    def __init__(self, row: Any) -> None:
        self.prefix: str = row.prefix
        self.num_prompt: int = row.num_prompt_tokens
        self.num_cached: int = row.num_cached_tokens
        self.num_computed: int = row.num_cached_tokens
        self.num_left: int = row.num_output_tokens
        self.num_generated = 0

    def generate(self) -> None:
        self.num_generated += 1
        self.num_left -= 1


def replayed(raw: RawMeasurement, num_parallel_calls: int = 0) -> tuple[list[Step], list[str]]:
    """Every step of every point, and one line for each point that could not be followed to its end.

    Parameters
    ----------
    raw : RawMeasurement
    num_parallel_calls : int
        Neighbours in a batch whose prefixes are counted (`sim.step_cost.hit_share`); 0: taken as in random order.
    """
    steps: list[Step] = []
    broken: list[str] = []
    for point in raw.points.itertuples():
        calls = raw.calls[(raw.calls.point == point.point) & (raw.calls.asynchronous == point.asynchronous)]
        rows = raw.steps[
            (raw.steps.asynchronous == point.asynchronous)
            & (raw.steps.finished_at > point.started_at)
            & (raw.steps.started_at < point.finished_at)
        ]
        try:
            steps.extend(_point_steps(point, calls, rows, num_parallel_calls))
        except LookupError as error:
            broken.append(f"point {point.point!r}: {error.args[0]}")
    return steps, broken


def _point_steps(point: Any, calls: pd.DataFrame, rows: pd.DataFrame, num_parallel_calls: int) -> Iterator[Step]:
    order = calls.assign(place=range(len(calls))).sort_values(["scheduled_at", "place"], kind="stable")
    waiting = [_Call(row) for row in order.itertuples()]
    decoding: list[_Call] = []
    before, sharing, has_changed = None, UNSHARED, False
    for row in rows.sort_values("finished_at").itertuples():
        is_first = _is_idle(decoding, waiting) and (before is None or row.started_at > before)
        context = sum(call.num_prompt + call.num_generated for call in decoding)
        if (len(decoding), context) != (row.num_decodes, row.num_context_tokens):
            raise LookupError(
                f"step {row.step} decoded {row.num_decodes} calls with {row.num_context_tokens} tokens, the replay "
                f"{len(decoding)} with {context}"
            )
        if has_changed:
            sharing = batch_sharing(decoding, num_parallel_calls)
        prefills, completed = _chunks(waiting, row)
        for call in decoding:
            call.generate()
        for call in completed:
            waiting.remove(call)
            call.generate()
        has_changed = bool(completed) or not all(call.num_left for call in decoding)
        if has_changed:
            decoding = [call for call in (*decoding, *completed) if call.num_left]
        since = row.started_at if is_first or before is None else before
        before = row.finished_at
        yield Step(
            point.point,
            point.kind,
            bool(point.held_out),
            bool(point.asynchronous),
            is_first,
            row.finished_at - since,
            row.num_decodes,
            row.num_context_tokens,
            sharing,
            prefills,
        )


def _is_idle(decoding: list[_Call], waiting: list[_Call]) -> bool:
    """Whether no call had begun that is not finished. A step planned before the last end began no later than it."""
    return not decoding and (not waiting or waiting[0].num_computed == waiting[0].num_cached)


def _chunks(waiting: list[_Call], row: Any) -> tuple[tuple[tuple[int, int], ...], list[_Call]]:
    """Prefill chunks of a step in order, and the calls whose prompts they complete."""
    chunks, completed = [], []
    rest = row.num_prefill_tokens
    for call in waiting[: row.num_prefills]:
        new = min(rest, call.num_prompt - call.num_computed)
        chunks.append((new, call.num_computed))
        call.num_computed += new
        rest -= new
        if call.num_computed == call.num_prompt:
            completed.append(call)
    if rest or len(chunks) != row.num_prefills or len(completed) < len(chunks) - 1:
        raise LookupError(f"step {row.step} prefilled {row.num_prefill_tokens} tokens that the replay does not have")
    return tuple(chunks), completed


def batch_sharing(decoding: list[_Call], num_parallel_calls: int) -> Sharing:
    """What the decoding calls share: those of one prefix hold the blocks that were cached when they came.

    With `num_parallel_calls`, pairs are what a random order would need for so many neighbours to share as much.
    """
    groups: dict[str, list[int]] = {}
    for call in decoding:
        if call.prefix and call.num_cached:
            groups.setdefault(call.prefix, []).append(call.num_cached)
    shared = {prefix: max(cached) for prefix, cached in groups.items() if len(cached) > 1}
    if not shared:
        return UNSHARED
    num_distinct = sum(shared.values())
    num_read = sum(tokens * len(groups[prefix]) for prefix, tokens in shared.items())
    num_pair_tokens = sum(tokens * len(groups[p]) * (len(groups[p]) - 1) / 2 for p, tokens in shared.items())
    if 1 < num_parallel_calls < len(decoding):
        order = [call.prefix if call.prefix in shared else "" for call in decoding]
        num_pair_tokens = _same_share(order, shared, num_parallel_calls) * num_read * (len(decoding) - 1) / 2
    return Sharing(num_read - num_distinct, num_distinct, num_pair_tokens)


def _same_share(order: list[str], num_tokens: Mapping[str, int], width: int) -> float:
    """How often two reads of a random order would be of the same token, were as many among `width` neighbours."""
    windows = [[each for each in order[first : first + width] if each] for first in range(len(order) - width + 1)]
    num_read = sum(num_tokens[prefix] for window in windows for prefix in window)
    num_distinct = sum(num_tokens[prefix] for window in windows for prefix in set(window))
    num_different = width * num_distinct / num_read
    if num_different in (1, width):
        return 1.0 if num_different == 1 else 0.0
    return float(brentq(lambda same: distinct_prefixes(same, width) - num_different, 0.0, 1.0))
