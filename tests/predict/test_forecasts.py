import json
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from forecasting.predict.calibration import MIN_FORECASTS
from forecasting.predict.forecasts import combine_and_calibrate, kind_of, network_quantiles
from forecasting.preprocess.targets import Scale
from forecasting.sessions import between
from forecasting.train.fit import fit
from forecasting.vocabulary import HORIZONS, QUANTILES
from tests.train.windows import SETTINGS, some_windows

H, Q = len(HORIZONS), len(QUANTILES)
SCALE = Scale(np.array(15.0), np.ones(H))
RAW = np.exp(15.0 + np.broadcast_to(norm.ppf(QUANTILES), (H, Q)))
NOTHING = pd.DataFrame({name: [] for name in ("origin_session", "horizon", "target_session", "actual", "calibration")})


def nights(n: int, *, width: float, seed: int = 0) -> pd.DataFrame:
    """A ledger of `n` nights that issued RAW, every horizon of which has closed at values `width` too wide."""
    rng = np.random.default_rng(seed)
    texts = combine_and_calibrate(RAW, RAW, NOTHING, scale=SCALE, target="volume").calibration
    sessions = between(date(2020, 1, 2), date(2024, 1, 2))[:n]
    rows = [
        (session, horizon, np.exp(15.0 + width * rng.normal()), texts[horizon - 1])
        for session in sessions
        for horizon in HORIZONS
    ]
    return pd.DataFrame(rows, columns=["origin_session", "horizon", "actual", "calibration"])


def test_the_first_night_weighs_both_as_usual_and_says_that_it_rests_on_nothing():
    issued = combine_and_calibrate(RAW, RAW**1.1, NOTHING, scale=SCALE, target="range")
    np.testing.assert_allclose(np.log(issued.quantiles), (0.9 + 0.1 * 1.1) * np.log(RAW))
    assert issued.past_forecasts.tolist() == [0] * H
    said = [json.loads(text) for text in issued.calibration]
    assert [(one["weight"], one["factors"]) for one in said] == [(0.9, [1.0] * Q)] * H


def test_a_calibrated_night_says_how_many_forecasts_it_rests_on():
    issued = combine_and_calibrate(RAW, RAW, nights(MIN_FORECASTS, width=2.0), scale=SCALE, target="volume")
    assert issued.past_forecasts.tolist() == [MIN_FORECASTS] * H
    assert (issued.quantiles[:, -1] > RAW[:, -1]).all()
    assert (issued.quantiles[:, 0] < RAW[:, 0]).all()


def test_the_order_of_the_ledgers_rows_does_not_matter():
    past = nights(80, width=2.0)
    shuffled = past.sample(frac=1.0, random_state=1)
    np.testing.assert_array_equal(
        combine_and_calibrate(RAW, RAW, past, scale=SCALE, target="volume").quantiles,
        combine_and_calibrate(RAW, RAW, shuffled, scale=SCALE, target="volume").quantiles,
    )


def test_issued_quantiles_ascend():
    issued = combine_and_calibrate(RAW, RAW[:, ::-1], nights(200, width=0.3), scale=SCALE, target="volume")
    assert (np.diff(issued.quantiles, axis=-1) >= 0.0).all()


def test_the_network_speaks_in_the_targets_own_unit_alike_for_one_row_and_for_many():
    windows = some_windows("range")
    checkpoint = fit(windows, mode="scratch", parent=None, settings=SETTINGS)
    alone = network_quantiles(checkpoint, windows)
    many = network_quantiles(checkpoint, windows, np.arange(290, 300))
    np.testing.assert_array_equal(alone, many[-1])
    assert (alone > 0.001).all()
    assert (alone < 0.2).all()


@pytest.mark.parametrize(
    ("issued_at", "expected"),
    [
        (datetime(2024, 3, 8, 22, 0, tzinfo=UTC), "live"),
        (datetime(2024, 3, 11, 13, 29, 59, tzinfo=UTC), "live"),
        (datetime(2024, 3, 11, 13, 30, tzinfo=UTC), "late"),
        (datetime(2024, 3, 11, 19, 59, 59, tzinfo=UTC), "late"),
        (datetime(2024, 3, 11, 20, 0, tzinfo=UTC), "replay"),
        (datetime(2024, 4, 1, 0, 0, tzinfo=UTC), "replay"),
    ],
)
def test_a_forecast_is_live_until_the_open_and_late_until_the_close_of_its_first_target(issued_at, expected):
    assert kind_of(issued_at, date(2024, 3, 8), "XNYS") == expected


def test_an_early_close_ends_lateness_early():
    after_early_close = datetime(2024, 11, 29, 18, 0, tzinfo=UTC)  # 13:00 in New York
    assert kind_of(after_early_close, date(2024, 11, 27), "XNYS") == "replay"
