"""Volumes out of all proportion, and moves without trading."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from forecasting.ingest.actions import make_actions
from forecasting.ingest.usual import is_inflated, is_partial, quiet_moves, volume_multiple
from tests.builders import random_bars

BARS = random_bars(300, seed=4)
NO_ACTIONS = make_actions([])
PRICES = ["open", "high", "low", "close", "adj_close"]


def moved(factor: float, *, volume: float = 1.0):
    bars = BARS.copy()
    bars.loc[bars.index[-1], PRICES] *= factor
    bars.loc[bars.index[-1], "volume"] *= volume
    return bars


def test_the_multiple_is_of_the_median_of_the_63_sessions_before():
    multiple = volume_multiple(BARS)
    assert np.isnan(multiple[:20]).all()
    assert multiple[-1] == BARS["volume"].iloc[-1] / BARS["volume"].iloc[-64:-1].median()


@pytest.mark.parametrize(("factor", "held"), [(1.0, False), (10.0, True), (1000.0, True), (1e7, True)])
def test_the_newest_volume_is_too_high_from_five_times_the_usual_on_a_usual_range(factor, held):
    assert is_inflated(moved(1.0, volume=factor)) is held


@pytest.mark.parametrize(("factor", "rule"), [(0.3, is_partial), (8.0, is_inflated)])
def test_a_volume_like_that_of_the_finished_session_before_is_the_new_usual(factor, rule):
    of = {is_partial: lambda bars: is_partial(bars, bars.index[-1].date()), is_inflated: is_inflated}[rule]
    usual = BARS["volume"].iloc[-64:].median()
    bars = BARS.assign(volume=[*BARS["volume"].iloc[:-2], factor * usual, factor * usual])
    assert (of(bars.iloc[:-1]), of(bars)) == (True, False)
    thousandfold = bars.assign(volume=[*bars["volume"].iloc[:-1], (1000.0 if factor > 1 else 0.001) * usual])
    assert of(thousandfold)


@pytest.mark.parametrize(("factor", "rule"), [(0.2, is_partial), (8.0, is_inflated)])
def test_a_volume_that_four_of_the_63_sessions_had_too_is_ordinary(factor, rule):
    of = {is_partial: lambda bars: is_partial(bars, bars.index[-1].date()), is_inflated: is_inflated}[rule]
    volume = BARS["volume"].to_numpy(copy=True)
    usual = np.median(volume)
    volume[[-1, -10, -20, -30]] = factor * usual
    assert of(BARS.assign(volume=volume))
    volume[-40] = factor * usual * (1.1 if factor > 1 else 0.9)
    assert not of(BARS.assign(volume=volume))
    volume[-1] = (1000.0 if factor > 1 else 0.001) * usual
    assert of(BARS.assign(volume=volume))


def test_a_short_volume_after_a_half_day_is_partial():
    bars = random_bars(100, seed=3, last=date(2024, 12, 2))  # the session before closed at 13:00
    usual = bars["volume"].median()
    assert is_partial(bars.assign(volume=[*[usual] * 98, 0.3 * usual, 0.3 * usual]), date(2024, 12, 2))


def test_a_high_volume_on_a_wide_range_is_news():
    bars = moved(1.0, volume=10.0)
    bars.loc[bars.index[-1], "high"] *= 1.2
    assert not is_inflated(bars)


@pytest.mark.parametrize("ratio", [6 / 5, 5 / 4, 4 / 3, 3 / 2, 1 / 1.16, 1.27])
@pytest.mark.parametrize("volume", [1.0, None])
def test_an_unnamed_split_or_another_currency_is_found(ratio, volume):
    found = quiet_moves(moved(1 / ratio, volume=volume or ratio), np.nan, NO_ACTIONS)
    assert np.flatnonzero(found).tolist() == [299]


def test_a_session_of_a_named_split_or_a_large_dividend_is_not():
    last, close = BARS.index[-1], BARS["close"].iloc[-2]
    for action, factor in (((last, "split", 1.25), 0.8), ((last, "dividend", 0.2 * close), 0.8)):
        assert not quiet_moves(moved(factor), np.nan, make_actions([action])).any()


@pytest.mark.parametrize("share", [0.1, 0.6, 30.0])
def test_a_dividend_in_another_currency_is_no_move_and_hides_none(share):
    wrong = make_actions([(BARS.index[-1], "dividend", share * BARS["close"].iloc[-2])])
    assert not quiet_moves(BARS, np.nan, wrong).any()
    assert quiet_moves(moved(1.25), np.nan, wrong)[-1]


def test_sound_bars_have_no_quiet_move():
    assert not quiet_moves(random_bars(3000, seed=9), np.nan, NO_ACTIONS).any()
    assert quiet_moves(BARS.iloc[:0], np.nan, NO_ACTIONS).tolist() == []
