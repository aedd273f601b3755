from itertools import pairwise

import numpy as np
import pytest

from forecasting.losses import (
    absolute_error,
    mixture_quantiles,
    pinball,
    row_losses,
    weighted_quantiles,
)
from forecasting.vocabulary import QUANTILES

RNG = np.random.default_rng(0)
ACTUAL = RNG.normal(size=(6, 5))
FORECASTS = np.sort(RNG.normal(size=(6, 5, len(QUANTILES))), axis=-1)


def naive_pinball(actual, quantiles):
    losses = [
        level * (actual - quantile) if actual > quantile else (1 - level) * (quantile - actual)
        for level, quantile in zip(QUANTILES, quantiles, strict=True)
    ]
    return sum(losses) / len(losses)


def naive_rows(actual, quantiles):
    rows = []
    for row, forecasts in zip(actual, quantiles, strict=True):
        losses = [
            naive_pinball(y, q) for y, q in zip(row, forecasts, strict=True) if np.isfinite(y)
        ]
        if losses:
            rows.append(sum(losses) / len(losses))
    return rows


def test_pinball_equals_its_naive_twin():
    expected = [
        naive_pinball(y, q)
        for y, q in zip(ACTUAL.ravel(), FORECASTS.reshape(-1, len(QUANTILES)), strict=True)
    ]
    np.testing.assert_allclose(pinball(ACTUAL, FORECASTS).ravel(), expected)


def test_pinball_is_zero_for_an_exact_forecast_charges_each_side_its_level_and_is_nan_where_nothing_came():
    assert np.isnan(pinball(np.nan, FORECASTS[0, 0]))
    assert pinball(2.0, np.full(len(QUANTILES), 2.0)) == 0.0
    low = np.zeros(len(QUANTILES))
    high = np.zeros(len(QUANTILES))
    # only the 95% quantile is off, by one below and by one above
    low[-1] = -1.0
    high[-1] = 1.0
    assert pinball(0.0, low) == pytest.approx(0.95 / len(QUANTILES))
    assert pinball(0.0, high) == pytest.approx(0.05 / len(QUANTILES))


def test_row_losses_equal_their_naive_twin_and_leave_out_unknown_horizons_and_rows():
    actual = ACTUAL.copy()
    actual[2, 3] = np.nan
    actual[4] = np.nan
    losses = row_losses(actual, FORECASTS)
    assert losses.shape == (5,)
    np.testing.assert_allclose(losses, naive_rows(actual, FORECASTS))


def test_an_absolute_error_is_that_of_the_median_on_either_side_of_it():
    quantiles = np.array([1.0, 2.0, 4.0, 5.0, 8.0, 16.0, 32.0])
    errors = absolute_error(np.array([[7.0, -3.0]]), np.tile(quantiles, (1, 2, 1)))
    assert errors.tolist() == [[2.0, 8.0]]


def naive_weighted_quantile(values, level, weights):
    """The value at `level` on the line through (share of the weight below a value and half of its
    own, value)."""
    pairs = sorted(zip(values, weights, strict=True))
    total = sum(weights)
    below = 0.0
    points = []
    for value, weight in pairs:
        points.append(((below + weight / 2) / total, value))
        below += weight
    if level <= points[0][0]:
        return points[0][1]
    for (share, value), (next_share, next_value) in pairwise(points):
        if level <= next_share:
            return value + (next_value - value) * (level - share) / (next_share - share)
    return points[-1][1]


def test_weighted_quantiles_equal_their_naive_twin():
    values = RNG.normal(size=40)
    weights = RNG.uniform(0.1, 3.0, 40)
    levels = (0.0, *QUANTILES, 1.0)
    expected = [naive_weighted_quantile(values, level, weights) for level in levels]
    np.testing.assert_allclose(weighted_quantiles(values, levels, weights), expected)


def test_a_mixture_of_two_forecasts_has_the_share_of_both_below_each_quantile():
    levels = np.array(QUANTILES)
    narrow = np.tile(levels, (1, 1))
    shifted = narrow + 3.0
    mixed = mixture_quantiles(np.stack([narrow, shifted]), [0.5, 0.5])[0]
    # Half of the mass lies on (0, 1), half on (3, 4).
    share = 0.5 * np.clip(mixed, 0.0, 1.0) + 0.5 * np.clip(mixed - 3.0, 0.0, 1.0)
    np.testing.assert_allclose(share, levels)
    np.testing.assert_array_equal(mixture_quantiles(narrow[None], [1.0]), narrow)
