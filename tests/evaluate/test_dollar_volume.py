from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecasting.evaluate.scores import DollarVolumes, dollar_volume_r2, dollar_volumes
from tests.builders import random_bars

BARS = random_bars(days=60, seed=3)
SESSIONS = BARS.index.to_numpy().astype("datetime64[D]")
ORIGINS, TARGETS = SESSIONS[10:50], np.stack([SESSIONS[11:51], SESSIONS[12:52]], axis=1)
SHARES = np.random.default_rng(4).lognormal(np.log(BARS["volume"].median()), 0.3, TARGETS.shape)


def naive_r2(bars: pd.DataFrame, shares: np.ndarray, horizon: int) -> float:
    """The formula by a loop over origins."""
    ours = means = 0.0
    for at, forecast in zip(range(10, 50), shares[:, horizon - 1], strict=True):
        past = [np.log(bars["volume"].iloc[at - back] * bars["close"].iloc[at - back]) for back in range(5)]
        actual = np.log(bars["volume"].iloc[at + horizon] * bars["close"].iloc[at + horizon])
        ours += (actual - np.log(forecast * bars["close"].iloc[at])) ** 2
        means += (actual - sum(past) / 5) ** 2
    return 1 - ours / means


def one(volumes: DollarVolumes, horizon: int) -> DollarVolumes:
    return DollarVolumes(volumes.close, volumes.mean, volumes.actual[:, horizon - 1 : horizon])


@pytest.mark.parametrize("horizon", [1, 2])
def test_r2_equals_a_loop_over_origins(horizon):
    volumes = one(dollar_volumes(BARS, ORIGINS, TARGETS), horizon)
    found = dollar_volume_r2(volumes, SHARES[:, horizon - 1 : horizon])
    assert found == pytest.approx(naive_r2(BARS, SHARES, horizon))


def test_r2_is_one_for_exact_forecasts_zero_for_the_mean_and_negative_for_worse():
    volumes = dollar_volumes(BARS, ORIGINS, TARGETS)
    price = np.log(volumes.close)[:, None]
    mean = volumes.mean[:, None] - price + np.zeros(TARGETS.shape)
    worse = volumes.actual - price + 2.0 * (volumes.mean[:, None] - volumes.actual)
    found = [dollar_volume_r2(volumes, np.exp(logs)) for logs in (volumes.actual - price, mean, worse)]
    assert found == [pytest.approx(1.0), pytest.approx(0.0), pytest.approx(-3.0)]


def test_what_an_origin_is_compared_with_does_not_change_when_later_bars_do():
    later = BARS.copy()
    later.iloc[31:] *= 3.0
    before, after = (dollar_volumes(bars, ORIGINS[:21], TARGETS[:21]) for bars in (BARS, later))
    np.testing.assert_allclose(before.mean, after.mean)
    np.testing.assert_array_equal(before.close, after.close)
    assert not np.allclose(before.actual[-1], after.actual[-1])


def test_a_split_changes_no_dollars():
    split = BARS.assign(close=BARS["close"] / 4, volume=BARS["volume"] * 4)
    found = [
        dollar_volume_r2(dollar_volumes(bars, ORIGINS, TARGETS), shares)
        for bars, shares in ((BARS, SHARES), (split, 4 * SHARES))
    ]
    assert found[0] == pytest.approx(found[1])


def test_unknown_volumes_are_no_actual_and_leave_the_mean_to_the_five_known_before():
    holed = BARS.astype(float)
    holed.iloc[[20, 22], holed.columns.get_loc("volume")] = [np.nan, 0.0]
    volumes = dollar_volumes(holed, ORIGINS, TARGETS)
    logs = np.log((BARS["close"] * BARS["volume"]).iloc[[16, 17, 18, 19, 21]])  # of those up to session 22
    assert volumes.mean[12] == pytest.approx(logs.mean())
    assert volumes.close[12] == BARS["close"].iloc[21]
    assert np.isnan(volumes.actual[9:12]).tolist() == [[True, False], [False, True], [True, False]]
    assert np.isfinite(dollar_volume_r2(volumes, SHARES))


def test_a_close_of_a_few_cents_and_a_volume_of_one_share_are_known_and_zeros_are_not():
    bars = BARS.iloc[:15].astype(float)
    bars.loc[bars.index[9:13], ["close", "volume"]] = [[0.02, 1.0], [0.0, 5.0], [3.0, 0.0], [0.5, 1.0]]
    volumes = dollar_volumes(bars, SESSIONS[[9, 10, 11, 12]], SESSIONS[[9, 10, 11, 12]][:, None])
    assert volumes.close.tolist() == [0.02, 0.02, 0.02, 0.5]
    np.testing.assert_allclose(volumes.actual[:, 0], [np.log(0.02), np.nan, np.nan, np.log(0.5)])


def test_the_mean_of_a_young_series_is_of_the_sessions_that_it_has():
    volumes = dollar_volumes(BARS, SESSIONS[:3], TARGETS[:3])
    logs = np.log(BARS["close"] * BARS["volume"]).to_numpy()
    np.testing.assert_allclose(volumes.mean, [logs[0], logs[:2].mean(), logs[:3].mean()])


def test_each_horizon_has_the_same_weight_however_many_of_its_targets_are_known():
    known = dollar_volumes(BARS, ORIGINS, TARGETS)
    actual = known.actual.copy()
    actual[5:, 1] = np.nan
    ours = np.log(SHARES) + np.log(known.close)[:, None] - actual
    means = known.mean[:, None] - actual
    errors, usual = ((table[:, 0] ** 2).mean() + (table[:5, 1] ** 2).mean() for table in (ours, means))
    holed = DollarVolumes(known.close, known.mean, actual)
    assert dollar_volume_r2(holed, SHARES) == pytest.approx(1 - errors / usual)


def test_targets_in_the_future_do_not_count():
    volumes = dollar_volumes(BARS.iloc[:51], ORIGINS, TARGETS)
    known = dollar_volumes(BARS, ORIGINS, TARGETS)
    assert np.isnan(volumes.actual).sum() == np.isnan(volumes.actual[-1, 1]) == 1
    assert dollar_volume_r2(one(volumes, 1), SHARES[:, :1]) == dollar_volume_r2(one(known, 1), SHARES[:, :1])
    last = DollarVolumes(known.close[:-1], known.mean[:-1], known.actual[:-1, 1:])
    assert dollar_volume_r2(one(volumes, 2), SHARES[:, 1:]) == pytest.approx(dollar_volume_r2(last, SHARES[:-1, 1:]))
