"""The intervals hold however often one looks: tried, not only proved."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from lib_w2sd.evaluate import verdict

RUNS, PAIRS = 300, 200


@pytest.mark.parametrize("true", [0.5, 0.7])
def test_a_winning_rate_is_left_out_at_any_time_in_at_most_5_percent(true):
    rng = np.random.default_rng(3)
    left = naive = 0
    for run in (rng.random((RUNS, PAIRS)) < true).tolist():
        ever = usual = False
        for n in range(5, PAIRS + 1, 3):
            wins = sum(run[:n])
            found = verdict.rate([1.0 if won else -1.0 for won in run[:n]])
            ever |= not found.low <= true <= found.high
            usual |= not binom.ppf(0.025, n, true) <= wins <= binom.ppf(0.975, n, true)
        left, naive = left + ever, naive + usual
    assert left / RUNS <= 0.05
    assert naive / RUNS > 0.15, "the usual interval, looked at as often, would have done as well"


@pytest.mark.parametrize("prompts", [[0.0, 1.0, 1.0, 1.0, 1.0], [0.2, 0.5, 0.8], [0.0] * 30 + [1.0] * 70])
def test_it_holds_where_every_prompt_has_its_turn(prompts):
    """As a study goes through its list: prompts with winning rates of their own, in an order of chance, each once
    before any comes twice."""
    rng = np.random.default_rng(5)
    true, turns = float(np.mean(prompts)), -(-PAIRS // len(prompts))
    left = 0
    for _ in range(RUNS):
        rates = np.concatenate([rng.permutation(prompts) for _ in range(turns)])[:PAIRS]
        run = [1.0 if won else -1.0 for won in (rng.random(PAIRS) < rates).tolist()]
        found = [verdict.rate(run[:n]) for n in range(5, PAIRS + 1, 9)]
        left += any(not one.low <= true <= one.high for one in found)
    assert left / RUNS <= 0.05


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 20), st.sampled_from([0.05, 0.01]))
def test_the_interval_is_where_the_ratio_of_likelihoods_is_below(wins, losses, ties, alpha):
    """Against scipy: the mixture's likelihood by the beta-binomial's."""
    found = verdict.rate([1.0] * wins + [-2.0] * losses + [0.0] * ties, alpha)
    assert (found.wins, found.losses, found.ties) == (wins, losses, ties) and found.low <= found.value <= found.high
    n = wins + losses
    for edge in {found.low, found.high} - {0.0, 1.0}:
        from scipy.stats import betabinom

        ratio = betabinom.logpmf(wins, n, 0.5, 0.5) - binom.logpmf(wins, n, edge)
        assert ratio == pytest.approx(-math.log(alpha), abs=1e-3)
    usual = beta.ppf(0.025, wins + 0.5, losses + 0.5), beta.ppf(0.975, wins + 0.5, losses + 0.5)
    assert found.low <= usual[0] + 1e-9 and found.high >= usual[1] - 1e-9, "looking often is not free"


def test_a_mean_is_left_out_at_any_time_in_at_most_5_percent():
    rng = np.random.default_rng(4)
    left = 0
    for run in rng.exponential(1.0, (RUNS, PAIRS)).tolist():
        means = [verdict.mean(run[:n]) for n in range(30, PAIRS + 1, 5)]
        left += any(abs(found.value - 1) > found.half for found in means)
    assert left / RUNS <= 0.06  # it holds asymptotically


def test_few_pairs_tell_nothing():
    assert verdict.mean([]).half == verdict.mean([3.0]).half == math.inf
    nothing = verdict.rate([])
    assert (nothing.low, nothing.high, nothing.value, nothing.clear) == (0.0, 1.0, 0.5, False)
    assert verdict.rate([1.0] * 9).clear and not verdict.rate([1.0] * 4).clear


def test_most_of_the_rewards_decide():
    assert verdict.majority([[1.0, -1.0, 0.0], [2.0, -3.0, 5.0], [-9.0, 8.0, 0.0]]) == pytest.approx(
        [1 / 3, -1 / 3, 1 / 3]
    )
    assert verdict.majority([[0.2, -7.0]]) == [1.0, -1.0]
