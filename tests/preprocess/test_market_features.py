from dataclasses import replace

import numpy as np
import pytest

from forecasting.preprocess.features import MEANS, STEP_NAMES, step_features
from forecasting.preprocess.market import MARKET_NAMES, market_features
from tests.builders import random_bars
from tests.train.windows import some_windows

DAYS, SEEN = 200, 160


def test_no_market_feature_changes_when_later_values_do_and_each_changes_with_its_own_session():
    steps = step_features(random_bars(days=DAYS, seed=7))
    market = np.log(np.random.default_rng(2).uniform(10.0, 40.0, DAYS))
    altered, later_steps = market.copy(), steps.copy()
    altered[SEEN:] += 0.3
    later_steps[SEEN:, STEP_NAMES.index("log_range")] += 0.1
    before, after = market_features(market, steps), market_features(altered, later_steps)
    np.testing.assert_array_equal(before[:SEEN], after[:SEEN])
    assert (before[SEEN] != after[SEEN]).all()


def test_market_features_are_unknown_where_the_series_or_its_means_are():
    steps = step_features(random_bars(days=DAYS, seed=7))
    market = np.full(DAYS, np.log(20.0))
    market[:10] = market[-1] = 0.0
    features = market_features(market, steps)
    assert np.isnan(features[:10]).all()
    assert np.isnan(features[-1]).all()
    assert np.isfinite(features[10 + max(MEANS) - 1 : -1]).all()
    np.testing.assert_allclose(features[-2, :3], 0.0, atol=1e-12)


def test_the_market_gap_is_zero_where_options_imply_the_range_that_there_is():
    steps = np.zeros((DAYS, len(STEP_NAMES)))
    steps[:, STEP_NAMES.index("log_range")] = np.log(0.01)
    implied = np.full(DAYS, np.log(100.0 * 0.01 * np.sqrt(252)))  # 1 % a session, in per cent a year
    np.testing.assert_allclose(market_features(implied, steps)[-1], 0.0, atol=1e-12)


def test_a_value_unknown_among_others_is_at_the_mean_of_the_learnable_rows():
    windows = some_windows(market=True)
    holed = windows.market.copy()
    holed[windows.warm_up + 40] = 0.0
    found = replace(windows, market=holed)
    raw, filled = found.market_features(), found.market_inputs()
    known = np.isfinite(raw)
    np.testing.assert_array_equal(filled[known], raw[known])
    expected = np.broadcast_to(np.nanmean(raw[: found.learnable_sessions - found.warm_up], axis=0), raw.shape)
    np.testing.assert_array_equal(filled[~known], expected[~known])


@pytest.mark.parametrize("sessions", [0, 1, 60, 119, 122, 200])
def test_a_series_too_young_for_its_features_is_none(sessions):
    windows = some_windows(market=True)
    young = np.where(np.arange(len(windows.market)) >= len(windows.market) - sessions, windows.market, 0.0)
    found = replace(windows, market=young)
    assert not found.has_market
    assert found.market_inputs().shape == (len(windows), 0)


def test_a_series_with_features_of_enough_rows_is_used():
    windows = some_windows(market=True)
    young = np.where(np.arange(len(windows.market)) >= len(windows.market) - 260, windows.market, 0.0)
    found = replace(windows, market=young)
    assert found.has_market
    assert found.market_inputs().shape == (len(windows), len(MARKET_NAMES))
    assert np.isfinite(found.market_inputs()).all()
