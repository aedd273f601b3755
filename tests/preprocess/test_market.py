from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.preprocess.features import (
    MARKET_NAMES,
    MEANS,
    STEP_NAMES,
    MarketSeries,
    log_closes,
    market_features,
    step_features,
)
from forecasting.sessions import between, closes_at, sessions_index
from tests.builders import random_bars
from tests.train.windows import some_windows

FIRST, LAST = date(2023, 11, 1), date(2024, 1, 31)
NEW_YORK = sessions_index(FIRST, LAST, "XNYS")


def series(exchange: str = "XNYS") -> MarketSeries:
    sessions = sessions_index(FIRST, LAST, exchange)
    rng = np.random.default_rng(3)
    return MarketSeries(pd.Series(rng.uniform(12.0, 80.0, len(sessions)), index=sessions), exchange)


def slow_log_closes(market: MarketSeries, sessions: pd.DatetimeIndex, exchange: str) -> list[float]:
    """A loop over instants."""
    own = [(day, closes_at(day, market.exchange)) for day in between(date(2023, 1, 3), LAST, market.exchange)]
    values = []
    for session in sessions:
        at = closes_at(session.date(), exchange)
        closed = [day for day, closed_at in own if closed_at <= at]
        found = [market.closes.get(pd.Timestamp(day), np.nan) for day in closed[-6:]]
        known = [value for value in found if value > 0.0]
        values.append(np.log(known[-1]) if known else 0.0)
    return values


@pytest.mark.parametrize(("own", "exchange"), [("XNYS", "XNYS"), ("XNYS", "XLON"), ("XLON", "XTKS"), ("XLON", "24/7")])
def test_values_equal_those_of_a_loop_over_the_instants_of_the_closes(exchange: str, own: str) -> None:
    market, sessions = series(own), sessions_index(FIRST, LAST, exchange)
    holed = market.closes.drop(market.closes.index[20:29])
    holed.iloc[[4, 8, 12]] = [0.0, -3.0, np.nan]  # no prices
    for one in (market, MarketSeries(holed, own)):
        expected = slow_log_closes(one, sessions, exchange)
        np.testing.assert_allclose(log_closes(one, sessions, exchange=exchange), expected, rtol=1e-15)


@given(at=st.integers(0, len(NEW_YORK) - 1), exchange=st.sampled_from(["XNYS", "XLON", "XTKS"]))
@settings(max_examples=15, deadline=None)
def test_a_value_changes_with_no_close_made_public_after_its_session_closed(at: int, exchange: str) -> None:
    market, sessions = series(), sessions_index(FIRST, LAST, exchange)
    altered = market.closes.copy()
    altered.iloc[at:] = altered.iloc[at:] * 1.5
    before, after = (
        log_closes(one, sessions, exchange=exchange) for one in (market, MarketSeries(altered, market.exchange))
    )
    public = closes_at(market.closes.index[at].date(), "XNYS")
    later = np.array([closes_at(day.date(), exchange) >= public for day in sessions])
    np.testing.assert_array_equal(before != after, later)


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


@pytest.mark.parametrize(("sessions", "used"), [(0, False), (1, False), (122, False), (200, False), (260, True)])
def test_a_series_is_used_once_it_has_features_of_enough_rows(sessions, used):
    windows = some_windows(market=True)
    young = np.where(np.arange(len(windows.market)) >= len(windows.market) - sessions, windows.market, 0.0)
    found = replace(windows, market=young)
    assert found.has_market == used
    assert found.market_inputs().shape == (len(windows), len(MARKET_NAMES) if used else 0)
    assert np.isfinite(found.market_inputs()).all()
