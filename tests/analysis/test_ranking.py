"""Rank agreement, signs with intervals and regret, against tables small enough to check by hand."""

import math

import pandas as pd
import pytest

from analysis.ranking import rank_policies


def table(simulated, measured, repeats=1, noise=0.0, scenario="s"):
    """Policies "a", "b", ... with these figures; measured ones alternate by `noise` from repeat to repeat."""
    rows = [
        (scenario, chr(ord("a") + index), str(repeat), s, m + (noise if repeat % 2 else -noise))
        for repeat in range(repeats)
        for index, (s, m) in enumerate(zip(simulated, measured, strict=True))
    ]
    return pd.DataFrame(rows, columns=["scenario", "policy", "repeat", "simulated", "measured"])


def test_the_same_order_has_tau_one_and_no_regret():
    verdict = rank_policies(table([1.0, 2.0, 3.0], [10.0, 11.0, 12.0])).scenarios.iloc[0]
    assert (verdict["tau"], verdict["num_agreeing"], verdict["num_pairs"], verdict["regret"]) == (1.0, 3, 3, 0.0)


def test_one_swapped_pair_of_three_gives_a_tau_of_a_third():
    verdict = rank_policies(table([1.0, 2.0, 3.0], [11.0, 10.0, 12.0])).scenarios.iloc[0]
    assert verdict["tau"] == pytest.approx(1 / 3)
    assert verdict["num_agreeing"] == 2


def test_regret_is_what_the_simulators_choice_costs_on_the_hardware():
    verdict = rank_policies(table([1.0, 2.0], [12.0, 10.0])).scenarios.iloc[0]
    assert (verdict["chosen"], verdict["best"]) == ("a", "b")
    assert verdict["regret"] == pytest.approx(0.2)


def test_without_repeats_no_pair_is_resolved():
    pair = rank_policies(table([1.0, 2.0], [10.0, 20.0])).pairs.iloc[0]
    assert math.isnan(pair["low"])
    assert not pair["resolved"]
    assert pair["agree"]


def test_paired_repeats_resolve_a_difference_smaller_than_the_noise():
    """Every repeat shifts both policies alike, so the difference itself does not vary."""
    pair = rank_policies(table([1.0, 1.1], [10.0, 10.5], repeats=4, noise=2.0)).pairs.iloc[0]
    assert pair["low"] == pytest.approx(0.05)
    assert pair["resolved"]


def test_the_interval_of_a_difference_is_students():
    """Differences 0 and 2 on a mean of 10: mean 1, standard error 1, t(1) = 12.706."""
    frame = table([1.0, 2.0], [10.0, 11.0], repeats=2)
    frame.loc[frame["policy"] == "b", "measured"] = [10.0, 12.0]
    pair = rank_policies(frame).pairs.iloc[0]
    assert pair[["low", "high"]].tolist() == pytest.approx([0.1 - 1.2706, 0.1 + 1.2706], abs=1e-4)
    assert not pair["resolved"]


def test_policies_that_did_the_same_do_not_differ_by_rounding():
    pairs = rank_policies(table([1.0, 1.0], [10.0, 10.0 + 1e-12])).pairs
    assert pairs["agree"].all()


def test_policies_are_never_compared_across_scenarios():
    both = pd.concat([table([1.0, 2.0], [1.0, 2.0]), table([20.0, 10.0], [20.0, 10.0], scenario="t")])
    ranking = rank_policies(both)
    assert ranking.scenarios["scenario"].tolist() == ["s", "t"]
    assert ranking.scenarios["best"].tolist() == ["a", "b"]
    assert len(ranking.pairs) == 2


def test_a_single_policy_cannot_be_ranked():
    with pytest.raises(ValueError, match="no scenario has runs of two policies"):
        rank_policies(table([1.0], [1.0]))


def test_an_undefined_figure_is_refused_by_name():
    with pytest.raises(ValueError, match="scenario 's', policy 'b': a value is undefined"):
        rank_policies(table([1.0, math.nan], [1.0, 2.0]))
