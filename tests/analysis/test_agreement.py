"""Two decision logs side by side: equal, shifted, swapped, sent elsewhere."""

import pandas as pd
import pytest

from analysis.agreement import agreement
from traces.records import DECISION_COLUMNS


def log(*words: str) -> pd.DataFrame:
    """Decisions written as "a0" (call a to engine 0) or "a-" (call a held)."""
    rows = [
        (
            float(at),
            "route",
            "app",
            word[0],
            -1 if word[1] == "-" else int(word[1]),
            "hold" if word[1] == "-" else "dispatch",
        )
        for at, word in enumerate(words)
    ]
    return pd.DataFrame(rows, columns=DECISION_COLUMNS)


def test_equal_logs_agree_wholly_whatever_their_instants() -> None:
    first, second = log("a0", "b-", "b1"), log("a0", "b-", "b1").assign(at=9.0)
    found = agreement(first, second)
    assert (found.share, found.num_same_engine, found.first_difference) == (1.0, 2, "")


def test_a_swap_costs_one_decision_and_not_all_that_follow() -> None:
    found = agreement(log("a0", "b0", "c0", "d0"), log("b0", "a0", "c0", "d0"))
    assert (found.num_same, found.num_decisions, found.num_same_engine) == (3, 4, 4)
    assert found.first_difference == "decision 1: app/a to engine 0 against app/b to engine 0"


def test_a_call_that_went_elsewhere_is_another_decision() -> None:
    found = agreement(log("a0", "b0", "c0"), log("a0", "b1", "c0"))
    assert (found.num_same, found.num_same_engine) == (2, 2)


def test_a_hold_that_one_run_lacks_counts_against_the_longer_log() -> None:
    found = agreement(log("a0", "b-", "b0"), log("a0", "b0"))
    assert found.share == pytest.approx(2 / 3)
    assert (found.num_dispatches, found.num_same_engine) == (2, 2)


def test_a_second_dispatch_of_a_call_is_compared_with_a_second_one() -> None:
    found = agreement(log("a0", "a1"), log("a0"))
    assert (found.num_same, found.first_difference) == (1, "decision 2: app/a to engine 1 against none")


def test_two_empty_logs_agree() -> None:
    assert agreement(log(), log()).share == 1.0
