from dataclasses import replace

import numpy as np
import pytest

from forecasting.preprocess.features import MARKET_NAMES
from forecasting.preprocess.windows import Windows
from forecasting.train.checkpoint import Card, Checkpoint
from forecasting.train.linear import AdjustedWindows, adjust, fit_effect
from forecasting.train.prepare import prepare, prepare_like, without_market
from forecasting.vocabulary import HORIZONS, Target
from tests.train.windows import SETTINGS, some_windows

COUNT = len(MARKET_NAMES)
MEAN, EFFECT = np.full(COUNT, 0.1), np.linspace(-1.0, 1.0, len(HORIZONS) * COUNT).reshape(-1, COUNT)


def adjusted_of(windows: Windows) -> AdjustedWindows:
    return adjust(windows, fit_effect(windows))


def card_of(windows: Windows) -> Card:
    return prepare(windows, method="scratch", settings=SETTINGS).card


def test_a_volume_that_moves_with_the_market_has_that_effect():
    windows = some_windows("volume", rows=1500, market=True)
    change = windows.market_features()[:, MARKET_NAMES.index("market_change")]
    moved = replace(windows, scaled=windows.scaled + 4.0 * change[:, None])
    before, after = (np.array(card_of(one).market_effect) for one in (windows, moved))
    gained = after - before
    np.testing.assert_allclose(gained[:, MARKET_NAMES.index("market_change")], 4.0, atol=0.8)
    others = [name for name in range(COUNT) if MARKET_NAMES[name] != "market_change"]
    assert np.abs(gained[:, others]).max() < 0.8


@pytest.mark.parametrize("target", ["volume", "range", "close"])
def test_the_effect_moves_the_centre_and_of_a_close_the_log_of_the_width(target: Target):
    """Linear in the features, and zero where they are at their mean or unknown."""
    windows = some_windows(target, market=True)
    holed = windows.market.copy()
    holed[windows.warm_up + 3] = 0.0
    windows = replace(windows, market=holed)
    adjusted = adjusted_of(windows)
    without = without_market(adjusted, windows, MEAN, EFFECT)
    moved = [EFFECT @ np.nan_to_num(row - MEAN) for row in windows.market_features()]
    unchanged, changed = ("centre", "width") if target == "close" else ("width", "centre")
    of = {"centre": without.centre - adjusted.centre, "width": np.log(without.width / adjusted.width)}
    np.testing.assert_allclose(of[changed], moved, atol=1e-12)
    np.testing.assert_array_equal(getattr(without, unchanged), getattr(adjusted, unchanged))
    np.testing.assert_allclose(without.centre + without.width * without.truth, windows.scaled)
    np.testing.assert_array_equal(without.past, adjusted.past)


@pytest.mark.parametrize("target", ["volume", "close"])
def test_no_later_value_of_the_market_changes_the_effect(target: Target):
    windows = some_windows(target, rows=400, market=True)
    altered = windows.market.copy()
    altered[-101:] += 1.0
    known = len(windows) - 101
    before, after = (one.cut(0, known, known_to=known - 1) for one in (windows, replace(windows, market=altered)))
    assert card_of(before) == card_of(after)


def test_a_night_without_the_market_has_no_effect_of_it_and_keeps_that_of_the_rows_before():
    windows = some_windows(market=True)
    card = card_of(windows)
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
