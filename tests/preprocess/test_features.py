from __future__ import annotations

import numpy as np
import pytest

from forecasting.losses import Floats
from forecasting.preprocess.features import (
    MEANS,
    SMALLEST_RANGE,
    STEP_NAMES,
    exponential_mean,
    lag_features,
    long_memory_features,
    step_features,
    trailing_mean,
    with_usual_ranges,
)
from forecasting.preprocess.windows import make_windows
from forecasting.vocabulary import Target
from tests.builders import LAST, no_events, random_bars

DAYS, SEEN = 200, 160


def steps_and_altered(later: bool) -> tuple[Floats, Floats]:
    """Steps, and those of bars that differ on the session SEEN, and on all later ones too."""
    bars = random_bars(days=DAYS, seed=7)
    altered = bars.copy()
    altered.iloc[SEEN : None if later else SEEN + 1] *= [1.1, 1.4, 0.7, 1.2, 1.0, 4.0]
    return step_features(bars), step_features(altered)


FEATURES = [(lag_features, target) for target in ("volume", "close", "range")] + [(long_memory_features, "range")]


@pytest.mark.parametrize(("features", "target"), [(lambda steps, target: steps, "volume"), *FEATURES])
def test_no_feature_changes_when_later_bars_do_and_each_changes_with_its_own_session(features, target):
    for later in (True, False):
        before, after = (features(steps, target) for steps in steps_and_altered(later))
        np.testing.assert_array_equal(before[:SEEN], after[:SEEN])
        assert (before[SEEN] != after[SEEN]).all()


@pytest.mark.parametrize(("features", "target"), FEATURES)
def test_a_row_has_the_same_bits_wherever_history_starts(features, target):
    bars = random_bars(days=400, seed=3)
    whole, late = (features(step_features(each), target) for each in (bars, bars.iloc[-250:]))
    kept = 250 - max(MEANS) - 1
    np.testing.assert_array_equal(whole[-kept:], late[-kept:])


def test_trailing_and_exponential_means_equal_a_naive_computation():
    values = np.random.default_rng(0).normal(size=50)
    weights = np.array([0.5 ** (back / 2.0) for back in range(6, -1, -1)])
    plain, halving = (
        [np.nan] * 6 + [np.average(values[t - 6 : t + 1], weights=w) for t in range(6, 50)] for w in (None, weights)
    )
    np.testing.assert_allclose(trailing_mean(values, 7), plain)
    np.testing.assert_allclose(exponential_mean(values, 2.0, 7), halving)
    for few in (3, 5):
        assert np.isnan([trailing_mean(values[:few], 7), exponential_mean(values[:few], 2.0, 7)]).all()


def test_a_step_is_logs_and_returns_of_the_bar():
    bars = random_bars(days=3, seed=1)
    last, before = bars.iloc[2], bars.iloc[1]
    moved = np.log(last.close / before.close)
    log_range = np.log(np.log(last.high / last.low))
    expected = [np.log(last.volume), log_range, abs(moved), moved, np.log(last.open / before.close)]
    np.testing.assert_allclose(step_features(bars)[2], expected, rtol=1e-12)


def test_a_missing_bar_has_neither_a_return_nor_a_gap():
    bars = random_bars(days=10)
    bars.iloc[4] = np.nan
    steps = step_features(bars)
    np.testing.assert_array_equal(steps[4], [*steps[3, :2], 0.0, 0.0, 0.0])
    assert np.isfinite(steps).all()


PRICES = ["open", "high", "low", "close"]
LOG_RANGE = STEP_NAMES.index("log_range")


def test_a_standstill_counts_with_the_mean_range_of_the_22_sessions_before_it() -> None:
    bars = random_bars(days=60, seed=7)
    bars.loc[bars.index[40:50], PRICES] = bars["close"].iloc[39]
    before = step_features(bars)[:, LOG_RANGE]
    after = with_usual_ranges(step_features(bars))[:, LOG_RANGE]
    assert np.allclose(before[40:50], np.log(SMALLEST_RANGE))
    np.testing.assert_allclose(after[40:50], before[18:40].mean(), rtol=1e-12)
    np.testing.assert_array_equal(np.delete(after, slice(40, 50)), np.delete(before, slice(40, 50)))


def test_the_range_of_a_session_with_a_close_alone_is_its_absolute_return() -> None:
    bars = random_bars(days=60, seed=7)
    for name in PRICES:
        bars[name] = bars["close"]
    found = np.exp(with_usual_ranges(step_features(bars))[1:, LOG_RANGE])
    moved = np.abs(np.diff(np.log(bars["close"])))
    still = moved <= SMALLEST_RANGE
    assert still.sum() == 1
    np.testing.assert_allclose(found[~still], moved[~still], rtol=1e-9)
    assert 0.001 < found[still].item() < 0.02


@pytest.mark.parametrize(("target", "usual"), [("volume", True), ("close", True), ("range", False)])
def test_a_range_forecast_has_its_standstills_as_they_are(target: Target, usual: bool) -> None:
    bars = random_bars(days=520, seed=7)
    bars.loc[bars.index[-30:], PRICES] = bars["close"].iloc[-31]
    windows = make_windows(bars, no_events(), origin=LAST, target=target, exchange="XNYS", train_sessions=300)
    assert (windows.steps[-1, LOG_RANGE] > np.log(2.0 * SMALLEST_RANGE)) == usual


def test_no_range_changes_when_later_bars_stand_still() -> None:
    bars = random_bars(days=60, seed=7)
    bars.loc[bars.index[20:25], PRICES] = bars["close"].iloc[19]
    altered = bars.copy()
    altered.loc[altered.index[40:], PRICES] = altered["close"].iloc[39]
    before, after = (with_usual_ranges(step_features(one)) for one in (bars, altered))
    np.testing.assert_array_equal(before[:40], after[:40])
