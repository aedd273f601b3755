"""The limits of the rules, each with the number on it, and the usual of the 63 sessions before."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import (
    Finding,
    is_inflated,
    is_other_unit,
    is_partial,
    newest_run,
    quiet_moves,
    volume_multiple,
)
from forecasting.ingest.bars import check_bars, no_bars
from tests.builders import PRICES, random_bars, scaled
from tests.ingest.memory_store import fetched_of

NO_ACTIONS = make_actions([])
LEVEL = random_bars(100).assign(**dict.fromkeys(PRICES, 1.0), volume=1000.0)
USUAL = LEVEL.assign(high=2.0)  # a logarithm whose double is exact


@pytest.mark.parametrize(
    ("rule", "columns", "rows", "on", "past"),
    [
        ("close_outside_range", "close", 50, 0.999, 0.998),
        ("close_outside_range", "close", 50, 1.001, 1.002),
        ("high_below_low", "high", 50, 1.0, 0.9995),
        ("wide_range", "high", 50, 2.0, 2.01),
        ("price_jump", PRICES, slice(50, None), 2.0, 2.01),
        ("price_jump", PRICES, slice(50, None), 0.5, 0.49),
        ("price_spike", PRICES, 50, 2.0, 2.01),
        ("price_spike", PRICES, 50, 0.5, 0.49),
        ("price_spike reject", PRICES, 50, 5.0, 5.01),
        ("price_infinite", PRICES, 50, 1e11, 1e11 + 0.05),
        ("price_not_positive", "low", 50, 0.05, 0.0),
        ("volume_outlier", "volume", 50, 0.05, 0.049),
        ("volume_outlier", "volume", 50, 30.0, 30.1),
        ("volume_impossible", "volume", 50, 0.0006, -1.0),
        ("volume_impossible", "volume", 50, 1e11, 1e11 + 0.0005),
        ("adj_close_mismatch", "adj_close", slice(50, None), 1.0009, 1.0011),
    ],
)
def test_a_number_on_a_limit_breaks_no_rule_and_one_past_it_does(rule, columns, rows, on, past):
    def rules(factor):
        bars = scaled(scaled(LEVEL, 10.0, columns=PRICES), factor, rows, columns)
        found = check_bars(fetched_of(bars), known=no_bars())[1]
        of_row = [one for one in found if one.session == LEVEL.index[50].date()]
        return " ".join(f"{one.rule} {one.severity}" for one in of_row)

    assert [rule in rules(factor) for factor in (on, past)] == [False, True]


def test_a_multiple_is_of_the_median_of_the_63_volumes_before_where_20_are_known():
    volume = np.random.default_rng(3).integers(1, 99, 150).astype(float)
    volume[[2, 3, 40, 41, 120]] = np.nan
    usual = np.full(150, np.nan)
    for row in range(150):
        before = [one for one in volume[max(0, row - 63) : row] if one == one]
        if len(before) >= 20:
            usual[row] = np.median(before)
    found = volume_multiple(pd.DataFrame({"volume": volume}))
    np.testing.assert_array_equal(found, volume / usual)
    assert np.isfinite(usual).argmax() == 22


def test_another_unit_is_past_300_times_the_usual_and_its_run_ends_at_the_newest():
    multiples = np.array([300.5, 300.0, 1.0, 1 / 300, 1 / 301, 1 / 300.5, 999.0])
    is_other = is_other_unit(multiples)
    assert is_other.tolist() == [True, False, False, False, True, True, True]
    assert [newest_run(is_other), newest_run(is_other[:5]), newest_run(is_other[:4])] == [3, 1, 0]


def with_volumes(at, *, high=2.0):
    """The usual bars with volumes at some places from the newest back, and a newest high."""
    volume = np.full(100, 1000.0)
    volume[list(at)] = list(at.values())
    return USUAL.assign(volume=volume, high=[2.0] * 99 + [high])


THREE_LOW = dict.fromkeys((-10, -20, -30), 390.0)
THREE_HIGH = dict.fromkeys((-10, -20, -30), 5500.0)
# Half of the 63 have twice the volume: with one session more or less they were the median.
UNEVEN = dict.fromkeys([-65, *range(-32, -1)], 2000.0)


@pytest.mark.parametrize(
    ("at", "partial"),
    [
        ({-1: 400}, False),
        ({-1: 399}, True),
        ({-1: 390, -2: 390}, False),  # the session before is finished
        ({-1: 390, -2: 400}, True),
        ({-1: 51, -2: 51}, False),
        ({-1: 50, -2: 50}, True),  # a wrong row
        ({-1: 300, **THREE_LOW, -64: 299}, False),
        ({-1: 300, **THREE_LOW, -64: 300}, True),  # none was lower
        ({-1: 300, **THREE_LOW, -65: 299}, True),  # only three of the 63
        ({-1: 300, **THREE_LOW, -64: 299, -20: 400}, True),
        ({-1: 410, **UNEVEN}, False),
        ({-1: 390, **UNEVEN}, True),
    ],
)
def test_the_newest_volume_is_short_below_two_fifths_of_the_usual_unless_others_were_too(
    at, partial
):
    assert is_partial(with_volumes(at)) is partial


@pytest.mark.parametrize(
    ("at", "high", "inflated"),
    [
        ({-1: 5000}, 2.0, False),
        ({-1: 5001}, 2.0, True),
        ({-1: 5001}, 3.9, True),
        ({-1: 5001}, 4.0, False),  # news: twice the usual range
        ({-1: 20_000}, 4.0, False),
        ({-1: 20_001}, 4.0, True),
        ({-1: 5001, -2: 5001}, 2.0, False),
        ({-1: 5001, -2: 5000}, 2.0, True),
        ({-1: 29_999, -2: 29_999}, 2.0, False),
        ({-1: 30_000, -2: 30_000}, 2.0, True),
        ({-1: 6000, **THREE_HIGH, -64: 6001}, 2.0, False),
        ({-1: 6000, **THREE_HIGH, -64: 6000}, 2.0, True),
        ({-1: 6000, **THREE_HIGH, -64: 6001, -20: 5000}, 2.0, True),
        ({-1: 5100, **UNEVEN}, 2.0, True),
        ({-1: 4900, **UNEVEN}, 2.0, False),
    ],
)
def test_the_newest_volume_is_too_high_past_five_times_the_usual_on_a_usual_range(
    at, high, inflated
):
    assert is_inflated(with_volumes(at, high=high)) is inflated


@pytest.mark.parametrize("days", [20, 21])
def test_without_twenty_sessions_before_no_volume_is_too_low_or_too_high(days):
    for at, of in (({-1: 1}, is_partial), ({-1: 1e6}, is_inflated)):
        assert of(with_volumes(at)[-days:]) is (days == 21)


BARS = random_bars(300, seed=4)


def moved(factor, *, volume=1.0):
    return scaled(BARS, [factor] * 5 + [volume], -1)


def quiet(bars, actions):
    return quiet_moves(bars, bars, actions, exchange="XNYS")


@pytest.mark.parametrize(
    ("opened", "closed", "volume", "reach", "paid", "is_quiet"),
    [
        (1.062, 1.1, 1000, 2.0, 0.0, True),
        (1.061, 1.1, 1000, 2.0, 0.0, False),
        (1.1, 1.061, 1000, 2.0, 0.0, False),
        (0.9, 1.1, 1000, 2.0, 0.0, False),  # on both sides of the close before
        (1.1, 1.1, 1999, 2.0, 0.0, True),
        (1.1, 1.1, 2000, 2.0, 0.0, False),
        (1.161, 1.161, 2000, 2.0, 0.0, False),
        (1.162, 1.162, 2999, 2.0, 0.0, True),
        (1.162, 1.162, 3000, 2.0, 0.0, False),
        (1.1, 1.1, 1000, 3.9, 0.0, True),
        (1.1, 1.1, 1000, 4.0, 0.0, False),
        (1.0, 1.0, 1000, 2.0, 0.1, False),
        (0.255, 0.5, 1000, 2.0, 0.75, True),  # as far from the close before as without a dividend
    ],
)
def test_a_move_is_doubtful_past_6_percent_on_usual_volume_and_range(
    opened, closed, volume, reach, paid, is_quiet
):
    bars = USUAL.copy()
    low = min(opened, closed)
    bars.iloc[-1] = [opened, low * reach, low, closed, closed, volume]
    actions = make_actions([(bars.index[-1], "dividend", paid)])
    assert quiet(bars, actions).tolist() == [False] * 99 + [is_quiet]


@pytest.mark.parametrize(("move", "is_quiet"), [(0.079, False), (0.083, True)])
def test_and_past_four_standard_deviations_of_the_returns_before(move, is_quiet):
    close = np.exp(0.02 * (np.arange(100) % 2))
    close[-1] = close[-2] * np.exp(-move)
    bars = USUAL.assign(open=close, close=close, low=close, high=2 * close)
    assert quiet(bars, NO_ACTIONS)[-1] == is_quiet


def test_a_rejected_row_stays_a_finding_and_of_flags_those_on_what_is_missing():
    cases = [("reject", "price_spike"), ("flag", "volume_unknown"), ("flag", "price_spike")]
    found = [Finding(date(2024, 3, 8), rule, severity, None, "") for severity, rule in cases]
    assert [one.is_persistent for one in found] == [True, True, False]


def test_a_move_that_an_action_explains_is_not_doubtful_and_one_without_is_on_either_volume():
    for volume in (1.0, 1.25):
        found = quiet(moved(0.8, volume=volume), NO_ACTIONS)
        assert np.flatnonzero(found).tolist() == [299]
    for action in (
        (BARS.index[-1], "split", 1.25),
        (BARS.index[-1], "dividend", 0.2 * BARS["close"].iloc[-2]),
    ):
        assert not quiet(moved(0.8), make_actions([action])).any()


@pytest.mark.parametrize("share", [0.1, 0.6, 30.0])
def test_a_dividend_in_another_currency_is_no_move_and_hides_none(share):
    wrong = make_actions([(BARS.index[-1], "dividend", share * BARS["close"].iloc[-2])])
    assert not quiet(BARS, wrong).any()
    assert quiet(moved(1.25), wrong)[-1]


def test_a_move_is_one_since_the_session_before_fetched_or_stored_and_none_since_an_older_one():
    bars = moved(1.098)
    after_gap = bars.drop(index=bars.index[-5:-1])
    assert quiet(bars, NO_ACTIONS)[-1]
    assert not quiet(after_gap, NO_ACTIONS).any()
    assert quiet_moves(after_gap, BARS, NO_ACTIONS, exchange="XNYS")[-1]
    after_holiday = scaled(BARS.loc[:"2024-02-20"], [1.098] * 5 + [1.0], -1)  # a Tuesday
    assert quiet(after_holiday, NO_ACTIONS)[-1]
