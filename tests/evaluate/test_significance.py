import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from forecasting.evaluate.figures import MIN_PAIRS
from forecasting.evaluate.significance import (
    ENOUGH_NIGHTS,
    Skill,
    diebold_mariano,
    p_value_of_enough,
)
from forecasting.vocabulary import HORIZONS


def naive_diebold_mariano(a, b, lag):
    d = [x - y for x, y in zip(a, b, strict=True)]
    n = len(d)
    h = lag + 1
    mean = sum(d) / n
    gamma = [sum((d[t] - mean) * (d[t - k] - mean) for t in range(k, n)) / n for k in range(h)]
    variance = (gamma[0] + 2 * sum(gamma[1:])) / n
    return mean / math.sqrt(variance) * math.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)


def random_losses(n=200, seed=0, **means):
    rng = np.random.default_rng(seed)
    shared = rng.gamma(4.0, 0.25, n)
    return pd.DataFrame(
        {name: mean * shared + rng.normal(0, 0.1, n) for name, mean in means.items()}
    )


def test_by_hand_with_one_lag():
    # Differences 1 3 2 2: mean 2, autocovariances 1/2 and -1/4, so the rectangular variance is 0
    # and Bartlett's 1/2 - 1/4 = 1/4; correction sqrt((4 + 1 - 4 + 2/4) / 4) = sqrt(3/8).
    found = diebold_mariano([1.0, 3.0, 2.0, 2.0], [0.0, 0.0, 0.0, 0.0], horizon=2)
    statistic = 2 / math.sqrt(0.25 / 4) * math.sqrt(3 / 8)
    assert found == pytest.approx((statistic, 2 * stats.t.sf(statistic, 3)))
    assert (
        diebold_mariano([1.0, 3.0, np.nan, 2.0, 2.0], [0.0, 0.0, 9.0, 0.0, 0.0], horizon=2) == found
    )


@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_it_equals_a_naive_computation_negative_where_the_first_lost_less_and_swapping_flips_the_sign(
    horizon,
):
    losses = random_losses(120, a=1.0, b=1.2)
    (statistic, p_value), behind = (
        diebold_mariano(losses[a], losses[b], horizon=horizon) for a, b in ("ab", "ba")
    )
    assert statistic == pytest.approx(naive_diebold_mariano(losses["a"], losses["b"], horizon - 1))
    assert statistic < 0
    assert behind == pytest.approx((-statistic, p_value))


def test_a_constant_difference_has_an_infinite_statistic_and_equal_losses_one_of_0_and_pairs_with_a_nan_are_dropped():
    assert diebold_mariano([1.0, np.nan, 2.0, 4.0], [1.0, 5.0, 2.0, 4.0], horizon=1) == (0.0, 1.0)
    assert diebold_mariano(np.arange(30) * 0.1, np.arange(30) * 0.1 + 0.3, horizon=3) == (
        -math.inf,
        0.0,
    )


@pytest.mark.parametrize(("horizon", "enough"), [(1, 10), (2, 20), (5, 50)])
def test_a_p_value_needs_ten_known_pairs_for_each_session_of_the_horizon(horizon, enough):
    rng = np.random.default_rng(0)
    ours = rng.normal(size=enough)
    theirs = rng.normal(size=enough)
    assert (
        p_value_of_enough(ours, theirs, horizon=horizon)
        == diebold_mariano(ours, theirs, horizon=horizon)[1]
    )
    assert p_value_of_enough(ours[1:], theirs[1:], horizon=horizon) is None
    theirs[0] = np.nan
    assert p_value_of_enough(ours, theirs, horizon=horizon) is None


def test_the_test_of_five_sessions_needs_one_pair_more_than_sessions():
    ours, theirs = np.random.default_rng(0).normal(size=(2, MIN_PAIRS))
    assert 0.0 < diebold_mariano(ours, theirs, horizon=len(HORIZONS))[1] < 1.0
    assert diebold_mariano(ours[1:], theirs[1:], horizon=len(HORIZONS)) == (0.0, 1.0)


@pytest.mark.parametrize(("n", "known"), [(ENOUGH_NIGHTS, True), (ENOUGH_NIGHTS - 1, False)])
def test_a_lead_is_known_from_enough_nights_on(n, known):
    assert Skill("ridge", n, 0.1, 0.01).is_known is known
