"""From one row a run to means, intervals and differences that may be believed."""

import pandas as pd
import pytest

from analysis.statistics.sweep_tables import FIGURES, policy_differences, setting_means

KEYS = ["workload", "arrivals", "policy"]


def runs(policy: str, jct: list[float], *, saturated: int = 0, failed: int = 0) -> list[dict[str, object]]:
    """Rows of one setting, a seed each; the first so many are saturated, the last so many failed."""
    rows = []
    for seed, value in enumerate(jct):
        ok = seed < len(jct) - failed
        figures = dict.fromkeys(FIGURES, value) if ok else {}
        state = {"status": "ok" if ok else "failed", "is_saturated": seed < saturated}
        rows.append(
            {
                "workload": "w",
                "arrivals": "load 1",
                "policy": policy,
                "seed": seed,
                "load": 1.0,
                "rate": 2.0,
                **state,
                **figures,
            }
        )
    return rows


def mean_of(rows: list[dict[str, object]]) -> pd.Series:
    means = setting_means(pd.DataFrame(rows), KEYS)
    return means[means["figure"] == "jct_mean"].iloc[0]


def test_a_saturated_setting_is_marked_and_not_averaged() -> None:
    row = mean_of(runs("fifo", [1.0, 2.0, 3.0, 4.0], saturated=2))
    assert row["is_saturated"]
    assert pd.isna(row["mean"])


def test_a_few_saturated_runs_count_like_the_others() -> None:
    row = mean_of(runs("fifo", [9.0, 1.0, 1.0, 1.0, 3.0], saturated=1))
    assert not row["is_saturated"]
    assert (row["mean"], row["num_saturated"]) == (3.0, 1)


def test_a_failed_run_is_counted_and_left_out() -> None:
    row = mean_of(runs("fifo", [1.0, 3.0, 99.0], failed=1))
    assert (row["mean"], row["num_runs"], row["num_failed"]) == (2.0, 3, 1)


def difference_of(rows: list[dict[str, object]]) -> pd.Series:
    table = policy_differences(pd.DataFrame(rows), KEYS, "fifo")
    return table[table["figure"] == "jct_mean"].iloc[0]


def test_policies_are_compared_seed_by_seed() -> None:
    row = difference_of(runs("fifo", [10.0, 50.0, 20.0, 80.0]) + runs("new", [9.0, 48.9, 19.1, 79.0]))
    assert row["difference"] == pytest.approx(-1.0)
    assert row["relative"] == pytest.approx(-1 / 40)
    assert row["high"] < 0
    assert row["is_significant"]


def test_a_difference_within_the_noise_is_not_significant() -> None:
    row = difference_of(runs("fifo", [1.0, 2.0, 3.0]) + runs("new", [1.5, 1.5, 3.2]))
    assert row["low"] < 0 < row["high"]
    assert not row["is_significant"]


def test_many_comparisons_make_a_lone_small_p_value_insignificant() -> None:
    """One in twenty is expected below 0.05 by chance, so a p of 0.02 among nineteen tells nothing."""
    seed_luck = [[0.5, -0.4, 0.1], [-0.3, 0.2, 0.3], [0.1, 0.1, -0.4]]
    others = [row for i in range(18) for row in runs(f"p{i}", [1 + each for each in seed_luck[i % 3]])]
    barely = runs("barely", [1.12, 1.15, 1.20])
    alone = difference_of(runs("fifo", [1.0, 1.0, 1.0]) + barely)
    assert alone["is_significant"]
    table = policy_differences(pd.DataFrame(runs("fifo", [1.0, 1.0, 1.0]) + barely + others), KEYS, "fifo")
    assert not table["is_significant"].any()


def test_nothing_is_compared_with_a_saturated_policy() -> None:
    row = difference_of(runs("fifo", [1.0, 2.0], saturated=2) + runs("new", [1.0, 1.0]))
    assert row["is_baseline_saturated"]
    assert pd.isna(row["relative"])
