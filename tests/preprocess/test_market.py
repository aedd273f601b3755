from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.preprocess.market import MarketSeries, log_closes
from forecasting.sessions import between, closes_at, sessions_index

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


@pytest.mark.parametrize("own", ["XNYS", "XLON"])
@pytest.mark.parametrize("exchange", ["XNYS", "XLON", "XTKS", "XTSE", "XBOM", "BVMF", "24/7"])
def test_values_equal_those_of_a_loop_over_the_instants_of_the_closes(exchange: str, own: str) -> None:
    market, sessions = series(own), sessions_index(FIRST, LAST, exchange)
    holed = MarketSeries(market.closes.drop(market.closes.index[20:29]), own)
    for one in (market, holed):
        expected = slow_log_closes(one, sessions, exchange)
        np.testing.assert_allclose(log_closes(one, sessions, exchange=exchange), expected, rtol=1e-15)


def test_a_session_of_the_series_own_exchange_has_its_own_close() -> None:
    market = series()
    np.testing.assert_array_equal(log_closes(market, NEW_YORK, exchange="XNYS"), np.log(market.closes.to_numpy()))


@pytest.mark.parametrize("exchange", ["XLON", "XTKS"])
def test_an_exchange_that_closes_before_new_york_has_the_close_of_the_day_before(exchange: str) -> None:
    market = series()
    days = pd.DatetimeIndex(["2023-12-06", "2023-12-07"])
    expected = np.log(market.closes[["2023-12-05", "2023-12-06"]].to_numpy())
    np.testing.assert_array_equal(log_closes(market, days, exchange=exchange), expected)


def test_a_session_while_new_york_is_closed_has_its_last_close() -> None:
    market = series()
    thanksgiving = pd.DatetimeIndex(["2023-11-23"])
    expected = [np.log(market.closes["2023-11-22"])]
    np.testing.assert_array_equal(log_closes(market, thanksgiving, exchange="XLON"), expected)


def test_a_close_is_filled_forward_over_five_sessions_and_unknown_is_exactly_0() -> None:
    market = series()
    holed = MarketSeries(market.closes.drop(market.closes.index[10:17]))
    filled = log_closes(holed, NEW_YORK, exchange="XNYS")
    np.testing.assert_array_equal(filled[9:15], np.log(market.closes.iloc[9]))
    np.testing.assert_array_equal(filled[15:17], 0.0)
    assert filled[17] == np.log(market.closes.iloc[17])


@pytest.mark.parametrize("bad", [0.0, -3.0, np.nan])
def test_a_close_that_is_no_price_counts_as_missing(bad: float) -> None:
    market = series()
    altered = market.closes.copy()
    altered.iloc[10] = bad
    assert log_closes(MarketSeries(altered), NEW_YORK, exchange="XNYS")[10] == np.log(market.closes.iloc[9])


def test_sessions_before_the_series_are_unknown() -> None:
    later = MarketSeries(series().closes.iloc[10:])
    values = log_closes(later, NEW_YORK, exchange="XNYS")
    np.testing.assert_array_equal(values[:10], 0.0)
    assert (values[10:] != 0.0).all()


def test_without_a_series_every_session_is_unknown() -> None:
    np.testing.assert_array_equal(log_closes(None, NEW_YORK, exchange="XNYS"), np.zeros(len(NEW_YORK)))
    empty = MarketSeries(pd.Series(dtype="float64", index=pd.DatetimeIndex([])))
    np.testing.assert_array_equal(log_closes(empty, NEW_YORK, exchange="XNYS"), np.zeros(len(NEW_YORK)))


@given(at=st.integers(0, len(NEW_YORK) - 1), exchange=st.sampled_from(["XNYS", "XLON", "XTKS"]))
@settings(max_examples=60, deadline=None)
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
