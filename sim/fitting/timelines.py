"""Compositions of measured engine steps, rebuilt from the calls and iterations of one run.

The measured runs say when each call got its first and last token and when each iteration ended, not which prefill
chunks an iteration held. Those follow from vLLM's rule: running calls decode one token each, the rest of the token
budget goes to waiting calls in order.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Iterations whose first-token message lies this close to a call's are the same; steps last 10 ms and more.
_MATCH_SECONDS = 0.004


@dataclass(frozen=True, slots=True)
class StepPoint:
    """One measured step.

    Parameters
    ----------
    seconds : float
        Its duration.
    num_decodes, num_context_tokens : int
        Calls that decoded, and the tokens they attended to in total.
    prefills : tuple of (num_new_tokens, num_computed_tokens)
    source : str
        Where it was measured.
    """

    seconds: float
    num_decodes: int
    num_context_tokens: int
    prefills: tuple[tuple[int, int], ...]
    source: str


def load_runs(folder: Path, scenario: str) -> list[dict[str, Any]]:
    """Runs of one scenario of the measured H100 data."""
    with gzip.open(folder / f"{scenario}.json.gz", "rt") as file:
        runs: list[dict[str, Any]] = json.load(file)["runs"]
    return runs


def stretches_of_run(run: dict[str, Any], source: str, token_budget: int) -> list[list[StepPoint]]:
    """Steps of a run in stretches during which the engine never idled, up to the first preemption.

    The first step after an idle spell is left out: the time since the message before is not its duration. Steps that
    hold a chunk of an unfinished prefill are rebuilt by filling `token_budget`.
    """
    batch = _Batch(run["rows"], token_budget)
    stretches: list[list[StepPoint]] = [[]]
    before: float | None = None
    for at, _, _, _, num_generated, _, num_preempted in run["iters"]:
        if num_preempted:
            break
        if not num_generated:  # an empty step after the last token, or the first chunk of a prefill on an idle engine
            before = None
            stretches.append([])
            continue
        point = batch.advance(at, before, source)
        if before is not None:
            stretches[-1].append(point)
        before = at
    return [stretch for stretch in stretches if stretch]


def windows(stretches: list[list[StepPoint]], min_steps: int = 8) -> list[list[StepPoint]]:
    """Consecutive steps whose summed duration is reliable: single ones jitter by milliseconds, and neighbours cancel.

    A window ends where two pure decode steps have followed each other, or when it has twice as many steps.
    """
    cut: list[list[StepPoint]] = []
    for stretch in stretches:
        window: list[StepPoint] = []
        for step in stretch:
            window.append(step)
            is_quiet = len(window) >= min_steps and not window[-1].prefills and not window[-2].prefills
            if is_quiet or len(window) == 2 * min_steps:
                cut.append(window)
                window = []
        if len(window) >= min_steps:
            cut.append(window)
    return cut


class _Batch:
    """Running and waiting calls of a measured run, advanced iteration by iteration."""

    def __init__(self, rows: list[dict[str, Any]], token_budget: int) -> None:
        self._waiting = sorted(rows, key=lambda row: (row["scheduled"], row["queued"]))
        self._computed = {id(row): row["cached"] for row in rows}
        self._generated = {id(row): 0 for row in rows}
        self._running: list[dict[str, Any]] = []
        self._token_budget = token_budget

    def advance(self, at: float, before: float | None, source: str) -> StepPoint:
        """The iteration that ended at `at`, the one before it at `before`."""
        generated = self._generated
        num_decodes = len(self._running)
        context = sum(row["prompt"] + generated[id(row)] for row in self._running)
        chunks = self._take_chunks(at, before, self._token_budget - num_decodes)
        filled = [row for row in self._waiting if self._computed[id(row)] >= row["prompt"]]
        self._waiting = [row for row in self._waiting if self._computed[id(row)] < row["prompt"]]
        self._running += filled
        for row in self._running:
            generated[id(row)] += 1
        self._running = [row for row in self._running if generated[id(row)] < row["olen"]]
        return StepPoint(0.0 if before is None else at - before, num_decodes, context, chunks, source)

    def _take_chunks(self, at: float, before: float | None, room: int) -> tuple[tuple[int, int], ...]:
        """Prefill chunks of that iteration: calls with their first token here, then a part of the next one."""
        chunks = []
        for row in self._waiting:
            rest = row["prompt"] - self._computed[id(row)]
            ends_here = row["first"] < at + _MATCH_SECONDS
            begins_here = before is not None and row["scheduled"] < before and 0 < room < rest
            if not (ends_here or begins_here):
                break
            new = rest if ends_here else room
            chunks.append((new, self._computed[id(row)]))
            self._computed[id(row)] += new
            room -= new
        return tuple(chunks)
