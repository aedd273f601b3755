from __future__ import annotations

import numpy as np
import pytest

from forecasting.preprocess.features import STEP_NAMES, step_features, with_usual_ranges
from forecasting.preprocess.targets import SMALLEST_RANGE
from forecasting.preprocess.windows import make_windows
from forecasting.vocabulary import Target
from tests.builders import LAST, no_events, random_bars

PRICES = ["open", "high", "low", "close"]
LOG_RANGE = STEP_NAMES.index("log_range")


def test_bars_that_move_keep_every_bit() -> None:
    steps = step_features(random_bars(days=600, seed=7))
    np.testing.assert_array_equal(with_usual_ranges(steps), steps)


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


def test_a_price_that_has_never_moved_keeps_the_smallest_range() -> None:
    bars = random_bars(days=60, seed=7)
    bars[PRICES] = 10.0
    np.testing.assert_allclose(np.exp(with_usual_ranges(step_features(bars))[:, LOG_RANGE]), SMALLEST_RANGE)


def test_no_range_changes_when_later_bars_stand_still() -> None:
    bars = random_bars(days=60, seed=7)
    bars.loc[bars.index[20:25], PRICES] = bars["close"].iloc[19]
    altered = bars.copy()
    altered.loc[altered.index[40:], PRICES] = altered["close"].iloc[39]
    before, after = (with_usual_ranges(step_features(one)) for one in (bars, altered))
    np.testing.assert_array_equal(before[:40], after[:40])


@pytest.mark.parametrize(("target", "usual"), [("volume", True), ("close", True), ("range", False)])
def test_a_range_forecast_has_its_standstills_as_they_are(target: Target, usual: bool) -> None:
    bars = random_bars(days=520, seed=7)
    bars.loc[bars.index[-30:], PRICES] = bars["close"].iloc[-31]
    windows = make_windows(bars, no_events(), origin=LAST, target=target, exchange="XNYS", train_sessions=300)
    assert (windows.steps[-1, LOG_RANGE] > np.log(2.0 * SMALLEST_RANGE)) == usual
