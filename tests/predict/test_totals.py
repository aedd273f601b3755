"""Totals: their quantiles against draws and integrals by hand, and the factor against a loop."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr, ndtri
from sklearn.linear_model import Ridge

from forecasting.predict import totals
from forecasting.predict.totals import (
    CORRELATION,
    DRAWS,
    amount_at,
    chance_of,
    fit_long_totals,
    next_factor,
    paths_of,
    total_quantiles,
)
from forecasting.preprocess.windows import make_windows
from forecasting.settings import Settings
from forecasting.vocabulary import MEDIAN, QUANTILES
from tests.builders import LAST, no_events, random_bars
from tests.train.windows import newest_windows

LOGS = np.array([-0.5, -0.38, -0.18, 0.0, 0.2, 0.45, 0.65])
WIDTHS = np.array([0.9, 1.0, 1.4, 0.5, 1.2])
SESSIONS = 8e6 * np.array([1.0, 1.1, 2.5, 0.9, 1.0])[:, None] * np.exp(LOGS * WIDTHS[:, None])


def log_volume(score, quantiles):
    """The log volume of one normal score, by the definition: linear between neighbouring levels."""
    scores = ndtri(QUANTILES)
    logs = np.log(quantiles)
    right = np.clip(np.searchsorted(scores, score), 1, len(scores) - 1)
    slope = (logs[right] - logs[right - 1]) / (scores[right] - scores[right - 1])
    return logs[right - 1] + slope * (score - scores[right - 1])


def test_quantiles_and_chances_equal_those_of_a_million_draws():
    generator = np.random.default_rng(3)
    scores = generator.multivariate_normal(np.zeros(5), CORRELATION, 1_000_000).T
    volumes = [np.exp(log_volume(*pair)) for pair in zip(scores, SESSIONS, strict=True)]
    drawn = np.sort(np.cumsum(volumes, axis=0), axis=1)
    found = total_quantiles(SESSIONS)
    levels = [
        np.searchsorted(row, row_found) / len(row)
        for row, row_found in zip(drawn, found, strict=True)
    ]
    np.testing.assert_allclose(levels, np.tile(QUANTILES, (5, 1)), atol=0.004)
    for amount in (0.8, 1.0, 1.3):
        stated = chance_of(found[4], amount * found[4][MEDIAN])
        came = np.mean(drawn[4] >= amount * found[4][MEDIAN])
        assert stated == pytest.approx(came, abs=0.01)  # between the levels


def test_the_draws_are_the_same_when_made_again():
    first = total_quantiles(SESSIONS)
    totals._scores_drawn.cache_clear()
    np.testing.assert_array_equal(total_quantiles(SESSIONS), first)


def test_a_factor_widens_the_logs_about_the_median():
    once, twice = (np.log(total_quantiles(SESSIONS, factor)) for factor in (1.0, 2.0))
    median = once[:, [MEDIAN]]
    np.testing.assert_allclose(twice - median, 2.0 * (once - median), atol=1e-12)


@pytest.mark.parametrize("score", [-3.0, -1.4, -0.3, 0.0, 1.0, 1.5, 4.0])
def test_an_amount_and_its_level_are_linear_in_score_and_log_and_each_others_inverse(score):
    amount = amount_at(SESSIONS[2], float(ndtr(score)))
    assert np.log(amount) == pytest.approx(log_volume(score, SESSIONS[2]), abs=1e-9)
    assert chance_of(SESSIONS[2], amount) == pytest.approx(ndtr(-score), abs=1e-9)


def test_the_factor_moves_by_each_level_that_a_total_closed_beyond():
    quantiles = np.exp(LOGS) * np.array([[1.0], [2.0], [3.0], [4.0], [5.0]])
    actual = np.array([0.5, 3.0, np.nan, quantiles[3, 1], quantiles[4, 5]])  # two at a level
    moved = 0.0
    for row, value in zip(quantiles, actual, strict=True):
        for level, quantile in zip(QUANTILES, row, strict=True):
            if level == 0.5 or np.isnan(value):
                continue
            beyond = value < quantile if level < 0.5 else value > quantile
            moved += beyond - min(level, 1.0 - level)
    expected = 1.1 * np.exp(0.015 / 5.0 * moved / 3.0)
    assert next_factor(1.1, actual, quantiles) == pytest.approx(expected, rel=1e-12)
    assert next_factor(1.1, np.array([]), np.empty((0, 7))) == 1.1
    assert next_factor(2.5, 9.0 + actual, quantiles) == 2.5
    assert next_factor(0.5, quantiles[:, MEDIAN], quantiles) == 0.5


@pytest.mark.parametrize("factor", [0.9, 1.2])
def test_paths_have_the_quantiles_of_the_totals_and_few_of_them_nearly(factor):
    issued = total_quantiles(SESSIONS, factor)
    volumes = paths_of(SESSIONS, factor, DRAWS)
    found = np.quantile(np.cumsum(volumes, axis=1), QUANTILES, axis=0).T
    np.testing.assert_allclose(found[1:], issued[1:], rtol=1e-4)
    np.testing.assert_allclose(found[0], SESSIONS[0], rtol=0.01)
    few = paths_of(SESSIONS, factor, 1000)
    np.testing.assert_allclose(np.quantile(few.sum(axis=1), QUANTILES), issued[-1], rtol=0.005)
    np.testing.assert_array_equal(paths_of(SESSIONS, factor, 1000), few)
    assert (volumes >= 0.0).all()
    np.testing.assert_allclose(paths_of(SESSIONS[:1], 1.0, DRAWS).min(), volumes[:, 0].min())


def windows_to(bars):
    return newest_windows(bars, no_events(), target="volume", rows=2500)


def long_totals(windows, five, factors):
    """Quantiles by number of sessions."""
    return {
        long.sessions: long.quantiles(five, factors.get(long.sessions, 1.0))
        for long in fit_long_totals(windows)
    }


def naive_total(volume, sessions, five, factor):
    """By the definition, with pandas, and each leave-one-out error by the hat matrix."""
    logs = np.log(volume)
    level = logs.rolling(22).mean()
    columns = {span: logs.rolling(span).mean() - level for span in (1, 5, 66, 250)}
    columns["quarters"] = (
        sum(
            logs.rolling(sessions).mean().shift(back - sessions) - level.shift(back)
            for back in (63, 126, 189, 252)
        )
        / 4.0
    )
    inputs = pd.DataFrame(columns)
    columns["five"] = np.log(volume.rolling(5).mean()).shift(-5) - level
    truth = np.log(volume.rolling(sessions).mean()).shift(-sessions) - level
    known = pd.DataFrame(columns).assign(truth=truth).dropna()
    features = known.drop(columns="truth")
    scaled = (features - features.mean()) / features.std(ddof=0)
    ridge = Ridge(alpha=100.0).fit(scaled.to_numpy(), known["truth"])
    design = np.column_stack([scaled, np.ones(len(scaled))])
    penalty = np.diag([100.0] * features.shape[1] + [0.0])
    hat = design @ np.linalg.solve(design.T @ design + penalty, design.T)
    errors = (known["truth"] - ridge.predict(scaled.to_numpy())) / (1.0 - np.diag(hat))
    tonight = inputs.iloc[-1].to_numpy()
    tonight = np.append(tonight, np.log(five[MEDIAN] / 5.0) - level.iloc[-1])
    tonight = (tonight - features.mean().to_numpy()) / features.std(ddof=0).to_numpy()
    of_errors = np.quantile(errors, QUANTILES)
    median = level.iloc[-1] + ridge.predict(tonight[None])[0] + of_errors[MEDIAN]
    slope = ridge.coef_[-1] / features["five"].std(ddof=0)
    distance = np.hypot(of_errors - of_errors[MEDIAN], slope * np.log(five / five[MEDIAN]))
    signs = np.array([-1.0, -1.0, -1.0, 0.0, 1.0, 1.0, 1.0])
    return sessions * np.exp(median + factor * signs * distance)


def test_totals_of_ten_and_twenty_sessions_equal_a_ridge_by_hand_on_that_of_five():
    bars = random_bars(days=900, seed=5, last=LAST)
    five = total_quantiles(SESSIONS)[-1]
    found = long_totals(windows_to(bars), five, {10: 1.2})
    assert [*found] == [10, 20]
    for sessions, factor in ((10, 1.2), (20, 1.0)):
        by_hand = naive_total(bars["volume"].astype(float), sessions, five, factor)
        np.testing.assert_allclose(found[sessions], by_hand, rtol=1e-9)
        assert (np.diff(found[sessions]) > 0.0).all()


def test_long_totals_are_of_the_bars_up_to_the_origin_and_of_a_long_history_alone():
    bars = random_bars(days=900, seed=5, last=LAST)
    altered = bars.copy()
    altered.iloc[-30:, altered.columns.get_loc("volume")] *= 3
    altered.iloc[-50, altered.columns.get_loc("volume")] = 0  # unknown in the window of both
    bars.iloc[-50, bars.columns.get_loc("volume")] = 0
    five = total_quantiles(SESSIONS)[-1]
    asked = {"origin": bars.index[-31].date(), "settings": Settings(), "rows": 2500}
    windows = [make_windows(one, no_events(), **asked) for one in (bars, altered)]
    of_origin = [long_totals(each, five, {}) for each in windows]
    np.testing.assert_equal(*of_origin)
    assert np.isfinite([*of_origin[0].values()]).all()
    assert long_totals(windows_to(bars.iloc[-670:]), five, {}) == {}
