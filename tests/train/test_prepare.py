from dataclasses import replace

import numpy as np
import pytest

from forecasting.preprocess.market import MARKET_NAMES
from forecasting.preprocess.windows import Windows
from forecasting.train.calendar_effects import AdjustedWindows, adjust, fit_effect
from forecasting.train.prepare import NO_EFFECT, MarketEffect, fit_market_effect, prepare, prepare_like, without_market
from forecasting.vocabulary import HORIZONS, Target
from tests.train.windows import SETTINGS, some_windows

COUNT = len(MARKET_NAMES)
EFFECT = MarketEffect(np.full(COUNT, 0.1), np.linspace(-1.0, 1.0, len(HORIZONS) * COUNT).reshape(-1, COUNT))


def adjusted_of(windows: Windows) -> AdjustedWindows:
    return adjust(windows, fit_effect(windows))


def effect_of(windows: Windows) -> MarketEffect:
    return fit_market_effect(windows, fit_effect(windows), adjusted_of(windows))


def test_the_effect_is_linear_in_the_features_and_zero_at_their_mean_or_where_they_are_unknown():
    market = np.array([EFFECT.mean, EFFECT.mean + np.eye(COUNT)[0], np.full(COUNT, np.nan)])
    np.testing.assert_allclose(EFFECT.of(market), [np.zeros(5), EFFECT.coefficients[:, 0], np.zeros(5)])


def test_a_volume_that_moves_with_the_market_has_that_effect():
    windows = some_windows("volume", rows=1500, market=True)
    change = windows.market_features()[:, MARKET_NAMES.index("market_change")]
    moved = replace(windows, scaled=windows.scaled + 4.0 * change[:, None])
    before, after = (effect_of(one).coefficients for one in (windows, moved))
    gained = after - before
    np.testing.assert_allclose(gained[:, MARKET_NAMES.index("market_change")], 4.0, atol=0.8)
    others = [name for name in range(COUNT) if MARKET_NAMES[name] != "market_change"]
    assert np.abs(gained[:, others]).max() < 0.8


@pytest.mark.parametrize("target", ["volume", "range"])
def test_the_effect_moves_the_centre_and_leaves_the_width(target: Target):
    windows = some_windows(target, market=True)
    adjusted = adjusted_of(windows)
    without = without_market(adjusted, windows, EFFECT)
    moved = EFFECT.of(windows.market_features())
    np.testing.assert_allclose(without.centre - adjusted.centre, moved)
    np.testing.assert_allclose(without.truth, adjusted.truth - moved)
    np.testing.assert_array_equal(without.width, adjusted.width)
    np.testing.assert_array_equal(without.past, adjusted.past)


def test_the_effect_on_a_close_is_on_its_width_alone():
    windows = some_windows("close", market=True)
    adjusted = adjusted_of(windows)
    without = without_market(adjusted, windows, EFFECT)
    np.testing.assert_array_equal(without.centre, adjusted.centre)
    np.testing.assert_allclose(np.log(without.width / adjusted.width), EFFECT.of(windows.market_features()))
    np.testing.assert_allclose(without.truth * without.width, adjusted.truth * adjusted.width)


@pytest.mark.parametrize("target", ["volume", "close"])
def test_no_later_value_of_the_market_changes_the_effect(target: Target):
    windows = some_windows(target, rows=400, market=True)
    altered = windows.market.copy()
    altered[-101:] += 1.0
    known = len(windows) - 101
    before, after = (one.cut(0, known, known_to=known - 1) for one in (windows, replace(windows, market=altered)))
    first, second = (effect_of(one) for one in (before, after))
    np.testing.assert_array_equal(first.coefficients, second.coefficients)
    np.testing.assert_array_equal(first.mean, second.mean)


def test_windows_without_a_market_series_are_prepared_as_before_there_was_one():
    windows = some_windows()
    prepared = prepare(windows, method="scratch", settings=SETTINGS)
    assert effect_of(windows) is NO_EFFECT
    assert not prepared.card.has_market
    np.testing.assert_array_equal(prepared.adjusted.truth, adjusted_of(windows).truth)
    np.testing.assert_array_equal(prepared.adjusted.centre, adjusted_of(windows).centre)


def test_a_night_without_the_market_has_no_effect_of_it_and_keeps_that_of_the_rows_before():
    from forecasting.train.checkpoint import Checkpoint

    windows = some_windows(market=True)
    card = prepare(windows, method="scratch", settings=SETTINGS).card
    assert card.has_market
    tonight_unknown = windows.market.copy()
    tonight_unknown[-1] = 0.0
    whole, failed = (
        prepare_like(Checkpoint(card, {}), one).adjusted for one in (windows, replace(windows, market=tonight_unknown))
    )
    calendar_only = adjusted_of(windows)
    np.testing.assert_array_equal(failed.centre[:-1], whole.centre[:-1])
    np.testing.assert_array_equal(failed.centre[-1], calendar_only.centre[-1])
    assert (whole.centre[-1] != calendar_only.centre[-1]).all()
