"""The native scheduler takes vLLM's decisions, step by step, on cases that are new in every run."""

import json
import secrets

from click.testing import CliRunner

from dovetail.lockstep import lockstep
from sim.lockstep.compare import Counts, compare
from sim.lockstep.draw import draw_case
from sim.lockstep.report import describe
from sim.lockstep.shrink import shrink


def test_two_hundred_fresh_cases_show_no_difference() -> None:
    first, counts = secrets.randbelow(10**9), Counts()
    print(f"seeds from {first}: dovetail lockstep --cases 200 --seed {first}")
    for seed in range(first, first + 200):
        difference = compare(draw_case(seed), counts)
        if difference is not None:
            small = shrink(difference.case, lambda case: compare(case) is not None)
            raise AssertionError(describe(compare(small) or difference))
    assert counts.steps > 10_000
    assert min(counts.preemptions, counts.cached_calls, counts.skipped_steps) > 100


def test_the_command_prints_json_too() -> None:
    result = CliRunner().invoke(lockstep, ["--cases", "2", "--seed", "1", "--json"])
    data = json.loads(result.stdout)
    assert (result.exit_code, data["cases"], data["difference"]) == (0, 2, None)
    assert data["steps"] > 0


def test_a_seed_always_draws_the_same_case() -> None:
    assert draw_case(7) == draw_case(7) != draw_case(8)


def test_every_drawn_case_fits_its_engine() -> None:
    assert all(draw_case(seed).is_valid() for seed in range(300))
