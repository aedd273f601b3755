import json
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from forecasting.predict.calibration import MIN_FORECASTS, read_past, widen
from forecasting.predict.forecasts import combine_and_calibrate, kind_of, network_quantiles
from forecasting.preprocess.targets import Scale
from forecasting.sessions import between
from forecasting.train.fit import fit
from forecasting.vocabulary import HORIZONS, MEDIAN, QUANTILES
from tests.train.windows import SETTINGS, some_windows

H, Q = len(HORIZONS), len(QUANTILES)
SCALE = Scale(np.array(15.0), np.ones(H))
RAW = np.exp(15.0 + np.broadcast_to(norm.ppf(QUANTILES), (H, Q)))
USUAL = np.where(np.arange(Q) == MEDIAN, 1.0, np.exp(np.log(1.05)))  # factors of a range
NO_PAST = read_past(pd.DataFrame({name: [] for name in ("origin_session", "horizon", "actual", "calibration")}))


def nights(n: int, *, width: float, seed: int = 0) -> pd.DataFrame:
    """Past forecasts of `n` nights that issued RAW; every horizon has closed, its actuals `width` times as wide."""
    rng = np.random.default_rng(seed)
    texts = combine_and_calibrate(RAW, RAW, NO_PAST, scale=SCALE, target="volume").calibration
    sessions = between(date(2020, 1, 2), date(2024, 1, 2))[:n]
    rows = [
        (session, horizon, np.exp(15.0 + width * rng.normal()), texts[horizon - 1])
        for session in sessions
        for horizon in HORIZONS
    ]
    return pd.DataFrame(rows, columns=["origin_session", "horizon", "actual", "calibration"])


def test_without_past_forecasts_weights_and_factors_are_the_usual_ones():
    issued = combine_and_calibrate(RAW, RAW**1.1, NO_PAST, scale=SCALE, target="range")
    combined = (0.9 + 0.1 * 1.1) * np.log(RAW)
    np.testing.assert_allclose(np.log(issued.quantiles), widen(combined, USUAL))
    assert issued.past_forecasts.tolist() == [0] * H
    stored = [json.loads(text) for text in issued.calibration]
    assert [(entry["weight"], entry["factors"]) for entry in stored] == [(0.9, USUAL.tolist())] * H


def test_a_calibrated_forecast_counts_the_past_forecasts_it_uses():
    issued = combine_and_calibrate(RAW, RAW, read_past(nights(MIN_FORECASTS, width=2.0)), scale=SCALE, target="volume")
    assert issued.past_forecasts.tolist() == [MIN_FORECASTS] * H
    assert (issued.quantiles[:, -1] > RAW[:, -1]).all()
    assert (issued.quantiles[:, 0] < RAW[:, 0]).all()


def test_the_order_of_past_forecasts_does_not_matter():
    past = nights(80, width=2.0)
    shuffled = past.sample(frac=1.0, random_state=1)
    np.testing.assert_array_equal(
        combine_and_calibrate(RAW, RAW, read_past(past), scale=SCALE, target="volume").quantiles,
        combine_and_calibrate(RAW, RAW, read_past(shuffled), scale=SCALE, target="volume").quantiles,
    )


def test_issued_quantiles_ascend():
    issued = combine_and_calibrate(RAW, RAW[:, ::-1], read_past(nights(200, width=0.3)), scale=SCALE, target="volume")
    assert (np.diff(issued.quantiles, axis=-1) >= 0.0).all()


def test_network_quantiles_are_in_the_targets_own_unit_and_equal_for_one_row_and_for_many():
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


def test_an_early_close_makes_a_forecast_a_replay_earlier():
    after_early_close = datetime(2024, 11, 29, 18, 0, tzinfo=UTC)  # 13:00 in New York
    assert kind_of(after_early_close, date(2024, 11, 27), "XNYS") == "replay"
