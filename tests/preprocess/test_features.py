from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.preprocess.windows import (
    MARKET_NAMES,
    SMALLEST_RANGE,
    STEP_NAMES,
    MarketSeries,
    lag_features,
    log_closes,
    long_memory_features,
    make_windows,
    step_features,
    with_usual_ranges,
)
from forecasting.sessions import between, closes_at, sessions_index
from forecasting.settings import Settings
from tests.builders import LAST, PRICES, no_events, random_bars, scaled
from tests.train.windows import market_unknown, some_windows

DAYS = 200
SEEN = 160


FEATURES = [(lag_features, target) for target in ("volume", "range")] + [
    (long_memory_features, "range")
]


@pytest.mark.parametrize(
    ("features", "target"), [(lambda steps, target: steps, "volume"), *FEATURES]
)
def test_no_feature_changes_when_later_bars_do_and_each_changes_with_its_own_session(
    features, target
):
    bars = random_bars(days=DAYS, seed=7)
    for changed in (slice(SEEN, None), SEEN):
        altered = scaled(bars, [1.1, 1.4, 0.7, 1.2, 1.0, 4.0], changed)
        before, after = (features(step_features(each), target) for each in (bars, altered))
        np.testing.assert_array_equal(before[:SEEN], after[:SEEN])
        assert (before[SEEN] != after[SEEN]).all()


LOG_RANGE = STEP_NAMES.index("log_range")


def test_a_standstill_counts_with_the_mean_range_of_the_22_sessions_before_it():
    bars = random_bars(days=60, seed=7)
    bars.loc[bars.index[40:50], PRICES] = bars["close"].iloc[39]
    before = step_features(bars)[:, LOG_RANGE]
    after, known = (
        with_usual_ranges(step_features(each))[:, LOG_RANGE] for each in (bars, bars.iloc[:45])
    )
    np.testing.assert_array_equal(known, after[:45])  # whatever comes later
    assert np.allclose(before[40:50], np.log(SMALLEST_RANGE))
    np.testing.assert_allclose(after[40:50], before[18:40].mean(), rtol=1e-12)
    np.testing.assert_array_equal(np.delete(after, slice(40, 50)), np.delete(before, slice(40, 50)))


def test_the_range_of_a_session_with_a_close_alone_is_its_absolute_return():
    bars = random_bars(days=60, seed=7)
    for name in PRICES:
        bars[name] = bars["close"]
    found = np.exp(with_usual_ranges(step_features(bars))[1:, LOG_RANGE])
    moved = np.abs(np.diff(np.log(bars["close"])))
    still = moved <= SMALLEST_RANGE
    assert still.sum() == 1
    np.testing.assert_allclose(found[~still], moved[~still], rtol=1e-9)
    assert 0.001 < found[still].item() < 0.02


@pytest.mark.parametrize(("target", "usual"), [("volume", True), ("range", False)])
def test_a_range_forecast_has_its_standstills_as_they_are(target, usual):
    bars = random_bars(days=520, seed=7)
    bars.loc[bars.index[-30:], PRICES] = bars["close"].iloc[-31]
    windows = make_windows(
        bars, no_events(), origin=LAST, settings=Settings(targets=(target,)), rows=300
    )
    assert (windows.steps[-1, LOG_RANGE] > np.log(2.0 * SMALLEST_RANGE)) == usual


def mean(values, end, sessions):
    """The mean of the `sessions` values up to place `end`, by a loop; NaN before."""
    first = end - sessions + 1
    return sum(values[first : end + 1]) / sessions if first >= 0 else np.nan


@pytest.mark.parametrize(("target", "own", "other"), [("volume", 0, 1), ("range", 1, 0)])
def test_lag_features_are_those_of_a_loop_over_sessions(target, own, other):
    steps = np.random.default_rng(5).normal([15.0, -4.0, 0.3, 0.2, -0.1], 0.5, (130, 5))
    series, others = steps[:, own], steps[:, other]
    expected = []
    for t in range(len(steps)):
        level, other_level = mean(series, t, 22), mean(others, t, 22)
        expected.append(
            [series[t - k] - level if t >= k else np.nan for k in range(10)]
            + [mean(series, t, sessions) - level for sessions in (5, 10, 44, 120)]
            + [others[t] - other_level, mean(others, t, 5) - other_level]
            + [other_level - mean(others, t, 120)]
            + [steps[t, 2], mean(steps[:, 2], t, 5), steps[t, 3], abs(steps[t, 4])]
        )
    np.testing.assert_allclose(lag_features(steps, target), expected, rtol=1e-9, atol=1e-12)


def test_long_memory_features_are_those_of_a_loop_over_sessions():
    steps = np.random.default_rng(5).normal([15.0, -4.0, 0.3, 0.2, -0.1], 0.5, (130, 5))
    expected = []
    for t in range(len(steps)):
        level = mean(steps[:, 1], t, 22)
        row = []
        for half_life in (1, 5, 25, 60):
            weights = [0.5 ** (back / half_life) for back in range(120)]
            total = sum(w * steps[t - k, 1] for k, w in enumerate(weights)) if t >= 119 else np.nan
            row.append(total / sum(weights) - level)
        expected.append([*row, level, mean(steps[:, 0], t, 22)])
    np.testing.assert_allclose(long_memory_features(steps, "range"), expected, rtol=1e-9)


def test_steps_are_those_of_a_loop_over_bars_with_unknown_volumes_and_a_missing_half_day():
    bars = random_bars(days=30, seed=4, last=date(2023, 12, 8))
    bars.loc["2023-11-24"] = np.nan  # the half day
    bars.iloc[[0, 1, 20], bars.columns.get_loc("volume")] = [np.nan, 0.0, np.nan]
    expected = []
    volume, log_range, close = 0.0, 0.0, np.nan
    for bar in bars.itertuples():
        gap = moved = 0.0
        if bar.close > 0.0:
            if close > 0.0:
                gap, moved = np.log(bar.open / close), np.log(bar.close / close)
            log_range, close = np.log(np.log(bar.high / bar.low)), bar.close
        volume = np.log(bar.volume) if bar.volume > 0.0 else volume
        expected.append([volume, log_range, abs(moved), moved, gap])
    np.testing.assert_allclose(step_features(bars), expected, rtol=1e-9, atol=1e-12)


def test_market_features_are_those_of_a_loop_over_sessions():
    rng = np.random.default_rng(6)
    steps = rng.normal([15.0, -4.0, 0.3, 0.2, -0.1], 0.5, (130, 5))
    market = rng.normal(3.0, 0.4, 130)
    market[:4] = np.nan
    daily = np.log(100.0 * 252.0**0.5)  # the VIX is in per cent a year
    expected = []
    for t in range(130):
        level = mean(market, t, 22)
        change = market[t] - market[t - 1] if t else np.nan
        gap = market[t] - daily - mean(steps[:, 1], t, 22)
        expected.append([market[t] - level, level - mean(market, t, 120), change, gap])
    found = features_of(market, steps)
    np.testing.assert_allclose(found, expected[-len(found) :], rtol=1e-9, atol=1e-12)
    assert np.isfinite(found[-1]).all()


SPAN = date(2023, 11, 1), date(2024, 1, 31)


def series(exchange="XNYS"):
    sessions = sessions_index(*SPAN, exchange)
    rng = np.random.default_rng(3)
    return MarketSeries(pd.Series(rng.uniform(12.0, 80.0, len(sessions)), index=sessions), exchange)


def slow_log_closes(market, sessions, exchange):
    """A loop over instants."""
    own = [
        (day, closes_at(day, market.exchange))
        for day in between(date(2023, 1, 3), SPAN[1], market.exchange)
    ]
    values = []
    for session in sessions:
        at = closes_at(session.date(), exchange)
        closed = [day for day, closed_at in own if closed_at <= at]
        found = [market.closes.get(pd.Timestamp(day), np.nan) for day in closed[-6:]]
        known = [value for value in found if value > 0.0]
        values.append(np.log(known[-1]) if known else np.nan)
    return values


@pytest.mark.parametrize(
    ("own", "exchange"), [("XNYS", "XNYS"), ("XNYS", "XLON"), ("XLON", "XTKS"), ("XLON", "24/7")]
)
def test_values_equal_those_of_a_loop_over_the_instants_of_the_closes(exchange, own):
    market = series(own)
    sessions = sessions_index(*SPAN, exchange)
    holed = market.closes.drop(market.closes.index[20:29])
    holed.iloc[[4, 8, 12]] = [0.0, -3.0, np.nan]  # no prices
    for one in (market, MarketSeries(holed, own)):
        expected = slow_log_closes(one, sessions, exchange)
        np.testing.assert_allclose(
            log_closes(one, sessions, exchange=exchange), expected, rtol=1e-15
        )


def features_of(market, steps):
    return replace(
        some_windows(), market=market, steps=steps, level=np.zeros(len(steps))
    ).market_features


def test_no_market_feature_changes_when_later_values_do_and_each_changes_with_its_own_session():
    steps = step_features(random_bars(days=DAYS, seed=7))
    market = np.log(np.random.default_rng(2).uniform(10.0, 40.0, DAYS))
    altered = market.copy()
    later_steps = steps.copy()
    altered[SEEN:] += 0.3
    later_steps[SEEN:, STEP_NAMES.index("log_range")] += 0.1
    before = features_of(market, steps)
    after = features_of(altered, later_steps)
    np.testing.assert_array_equal(before[:SEEN], after[:SEEN])
    assert (before[SEEN] != after[SEEN]).all()


def test_a_value_unknown_among_others_is_at_the_mean_of_the_learnable_rows():
    found = market_unknown(some_windows(market=True), 40).known_to(280)
    raw = found.market_features
    filled = found.market_inputs
    known = np.isfinite(raw)
    np.testing.assert_array_equal(filled[known], raw[known])
    expected = np.broadcast_to(
        np.nanmean(raw[: found.learnable_sessions - found.warm_up], axis=0), raw.shape
    )
    np.testing.assert_array_equal(filled[~known], expected[~known])


@pytest.mark.parametrize(
    ("sessions", "used"), [(0, False), (1, False), (122, False), (243, False), (244, True)]
)
def test_a_series_is_used_once_it_has_features_of_enough_rows(sessions, used):
    windows = some_windows(market=True)
    young = np.where(
        np.arange(len(windows.market)) >= len(windows.market) - sessions, windows.market, np.nan
    )
    found = replace(windows, market=young)
    assert found.has_market == used
    assert found.market_inputs.shape == (len(windows), len(MARKET_NAMES) if used else 0)
    assert np.isfinite(found.market_inputs).all()
