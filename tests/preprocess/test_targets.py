import numpy as np
import pandas as pd
import pytest

from forecasting.preprocess.targets import SMALLEST_RANGE, Scale, actual_of
from tests.builders import random_bars


def test_a_missing_or_zero_volume_is_unknown():
    bars = random_bars(days=3)
    bars.loc[bars.index[1], "volume"] = np.nan
    bars.loc[bars.index[2], "volume"] = 0.0
    expected = pd.Series([bars["volume"].iloc[0], np.nan, np.nan], index=bars.index, name="volume")
    pd.testing.assert_series_equal(actual_of("volume", bars), expected)


def test_close_is_the_closing_price():
    bars = random_bars(days=3)
    pd.testing.assert_series_equal(actual_of("close", bars), bars["close"])


def test_range_is_the_log_of_high_over_low_with_a_floor():
    bars = random_bars(days=2)
    bars["high"], bars["low"] = [110.0, 50.0], [100.0, 50.0]
    np.testing.assert_allclose(actual_of("range", bars), [np.log(1.1), SMALLEST_RANGE])


@pytest.mark.parametrize("shape", [(5,), (5, 7), (3, 5), (3, 5, 7)])
def test_from_model_inverts_to_model(shape):
    rng = np.random.default_rng(0)
    rows = shape[:1] if shape[0] == 3 else ()
    scale = Scale(level=np.asarray(rng.normal(size=rows)), spread=rng.uniform(0.5, 2.0, (*rows, 5)))
    values = np.exp(rng.normal(size=shape))
    np.testing.assert_allclose(scale.from_model(scale.to_model(values)), values)


def test_model_scale_is_the_log_less_the_level_over_the_spread():
    scale = Scale(level=np.array(2.0), spread=np.array([1.0, 2.0, 1.0, 1.0, 1.0]))
    np.testing.assert_allclose(scale.to_model(np.exp([3.0, 4.0, 2.0, 1.0, np.nan])), [1.0, 1.0, 0.0, -1.0, np.nan])
