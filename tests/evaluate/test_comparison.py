"""The verdict of a backtest: what is compared, and when which is said."""

import numpy as np
import pytest

from forecasting.evaluate.comparison import Lead, lead_over, over_limit, verdict_of
from forecasting.losses import pinball
from forecasting.vocabulary import MEDIAN, QUANTILES

RNG = np.random.default_rng(5)
ACTUAL = RNG.lognormal(2.0, 0.3, 300)
AROUND = np.linspace(-1.5, 1.5, len(QUANTILES))


def forecasts(noise):
    """Quantiles around the actual values, off by normal errors."""
    return (ACTUAL + RNG.normal(0.0, noise, 300))[:, None] + AROUND


def test_a_lead_is_of_the_nights_that_both_have():
    ours, theirs = forecasts(0.5), forecasts(1.0)
    theirs[::3] = np.nan
    both = np.isfinite(theirs[:, 0])
    found = lead_over(ACTUAL, ours, theirs)
    losses = [pinball(ACTUAL[both], quantiles[both]).mean() for quantiles in (ours, theirs)]
    assert (found.n, found.share) == (200, pytest.approx(1.0 - losses[0] / losses[1]))
    assert found.p_value is not None
    assert found.p_value < 0.01


def test_a_forecast_that_is_a_copy_has_no_lead():
    ours = forecasts(0.5)
    assert lead_over(ACTUAL, ours, ours.copy()) == Lead(300, 0.0, 1.0)


@pytest.mark.parametrize(
    ("ridge", "house", "verdict"),
    [
        (Lead(60, 0.01, 0.9), None, "use"),
        (Lead(59, 0.30, 0.0), None, "too_few"),
        (Lead(60, -0.01, 0.9), None, "too_few"),
        (Lead(60, -0.01, 0.04), None, "no_better"),
        (Lead(240, -0.01, 0.9), None, "no_better"),
        (Lead(250, 0.05, 0.01), Lead(250, 0.02, 0.6), "use"),
        (Lead(250, 0.05, 0.01), Lead(250, -0.02, 0.6), "own_better"),
        (Lead(250, -0.05, 0.01), Lead(250, -0.02, 0.6), "own_better"),
        (Lead(250, 0.05, 0.01), Lead(100, -0.02, 0.6), "too_few"),
        (Lead(250, 0.05, 0.01), Lead(20, -0.02, 0.01), "use"),
    ],
)
def test_a_verdict_says_better_at_once_and_worse_after_a_year_or_for_sure(ridge, house, verdict):
    leads = {"ridge": ridge, "har": Lead(250, -0.2, 0.0)}
    own = []
    if house is not None:
        leads["house"] = house
        own = ["house"]
    assert verdict_of(leads, reference="ridge", own=own) == verdict


def test_an_order_is_over_the_limit_where_the_volume_is_below_two_thirds_of_the_median():
    medians = np.full(4, 90.0)
    volumes = np.array([59.0, 61.0, 90.0, np.nan])
    assert over_limit(volumes, medians) == pytest.approx(1 / 3)
    assert np.isnan(over_limit(volumes[3:], medians[3:]))
    assert over_limit(ACTUAL, forecasts(0.0)[:, MEDIAN]) == 0.0
