"""`dovetail lockstep`: the native scheduler beside vLLM's own, step by step, on random cases."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from traces.wording import counted

if TYPE_CHECKING:
    from sim.lockstep.compare import Counts, Difference

#: Between two lines of progress, cases.
_PROGRESS = 100


@click.command()
@click.option("--cases", "num_cases", type=click.IntRange(1), default=200, show_default=True, help="Random cases.")
@click.option("--seed", type=click.IntRange(0), help="Of the first case, the next has the next; drawn when not given.")
@click.option(
    "--shrink-seconds",
    type=click.FloatRange(0.0),
    default=60.0,
    show_default=True,
    help="Longest search for a small case.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def lockstep(num_cases: int, seed: int | None, shrink_seconds: float, as_json: bool) -> None:
    """Feed random workloads to the native scheduler and to vLLM's own and compare every step.

    Needs vLLM (docs/lockstep.md). At the first difference, prints the shrunk case and the first step that differs,
    side by side, and ends with exit status 1.
    """
    import secrets

    from sim.lockstep.compare import Counts, compare
    from sim.lockstep.draw import draw_case
    from sim.lockstep.report import describe
    from sim.vllm_version import require_vllm

    version = require_vllm()
    first = secrets.randbelow(10**9) if seed is None else seed
    seeds = range(first, first + num_cases)
    say = _silent if as_json else _say
    say(f"native scheduler against vllm {version}: {counted(num_cases, 'case')} from seed {first}")
    counts = Counts()
    differing, found = None, None
    for number, differing in enumerate(seeds, 1):
        found = compare(draw_case(differing), counts)
        if found is not None:
            say(f"seed {differing}: they differ; shrinking the case")
            break
        if number % _PROGRESS == 0 and number < num_cases:
            print(_line(counts), file=sys.stderr, flush=True)
    text = None if found is None else describe(_shrunk(found, shrink_seconds))
    say(text or f"no difference: {_line(counts)}")
    if as_json:
        difference = None if text is None else {"seed": differing, "shrunk": text}
        print(json.dumps({"vllm": version, "first_seed": first, **asdict(counts), "difference": difference}, indent=2))
    sys.exit(0 if text is None else 1)


def _say(text: str) -> None:
    print(text, flush=True)


def _silent(text: str) -> None:
    """Nothing: the same is in the JSON."""


def _shrunk(difference: Difference, seconds: float) -> Difference:
    """The difference that the smallest case found shows."""
    from sim.lockstep.compare import compare
    from sim.lockstep.shrink import shrink

    small = shrink(difference.case, lambda case: compare(case) is not None, seconds)
    return compare(small) or difference


def _line(counts: Counts) -> str:
    return (
        f"{counted(counts.cases, 'case')}, {counted(counts.calls, 'call')}, {counted(counts.steps, 'step')} "
        f"({counts.skipped_steps:,} of them skipped and expanded), {counted(counts.preemptions, 'preemption')}, "
        f"{counted(counts.cached_calls, 'call')} with a cached prefix"
    )
