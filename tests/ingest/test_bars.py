from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import BadDataError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.bar_rules import is_partial
from forecasting.ingest.bars import check_bars, no_bars, payload_hash
from forecasting.ingest.sources import canonical
from tests.builders import LAST, PRICES, random_bars, scaled
from tests.ingest.memory_store import fetched_of, found


def check(bars, actions=None, known=None, **changed):
    known = no_bars() if known is None else known
    return check_bars(fetched_of(bars, actions, **changed), known=known)


def broken_bars(row=50, **values):
    bars = random_bars(100, seed=3)
    bars.loc[bars.index[row], list(values)] = list(values.values())
    return bars


def test_valid_bars_pass_unchanged_and_without_a_finding():
    bars = random_bars(2000, seed=1)
    clean, findings = check(bars)
    pd.testing.assert_frame_equal(clean, bars)
    assert findings == []


def test_a_volume_that_rounds_to_0_is_unknown():
    bars = random_bars(4, seed=1)
    bars["volume"] = [0.0, 0.5, 0.6, 1.0]
    assert canonical(bars)["volume"].isna().tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("values", "rule", "value"),
    [
        ({"close": np.nan}, "price_unknown", 7e6),
        ({"open": np.inf}, "price_infinite", 50.0),
        ({"low": -0.01}, "price_not_positive", -0.01),
        ({"open": 0.0}, "price_not_positive", 0.0),
        ({"high": 40.0}, "high_below_low", -9.0),
        ({"close": 51.1}, "close_outside_range", 51.1),
        ({"open": 48.9}, "open_outside_range", 48.9),
        ({"volume": -100.0}, "volume_impossible", -100.0),
        ({"volume": np.inf}, "volume_impossible", None),
    ],
)
def test_an_impossible_row_is_rejected_with_its_number(values, rule, value):
    bars = broken_bars(
        **{"open": 50.0, "high": 51.0, "low": 49.0, "close": 50.0, "volume": 7e6, **values}
    )
    clean, findings = check(bars)
    day = bars.index[50]
    assert (findings[0].session, findings[0].rule, findings[0].severity) == (
        day.date(),
        rule,
        "reject",
    )
    assert findings[0].value == (None if value is None else pytest.approx(value))
    pd.testing.assert_frame_equal(clean, bars.drop(day))


def test_a_row_of_a_day_without_trading_is_rejected():
    bars = random_bars(300, seed=3, last=date(2025, 2, 28))
    saturday = bars.iloc[[50]].set_axis([pd.Timestamp(2025, 1, 4)])
    mourning = bars.iloc[[50]].set_axis([pd.Timestamp(2025, 1, 9)])
    clean, findings = check(
        pd.concat([bars, saturday, mourning]).sort_index().rename_axis("session")
    )
    assert found(findings) == [(date(2025, 1, day), "off_calendar", "reject") for day in (4, 9)]
    pd.testing.assert_frame_equal(clean, bars, check_freq=False)


@pytest.mark.parametrize("days", [-1, 1])
def test_bars_whose_dates_are_a_day_off_are_refused(days):
    shifted = random_bars(300, seed=3).shift(days, freq="D")
    for of_index in (False, True):
        with pytest.raises(BadDataError, match="on days on which XNYS does not trade"):
            check_bars(fetched_of(shifted, of_index=of_index), known=no_bars())


@pytest.mark.parametrize("count", [1, 2])
def test_one_bar_in_a_hundred_may_lie_on_a_weekend_and_any_without_volume_on_a_holiday(count):
    def extra(*days):
        others = random_bars(len(days)).set_axis(pd.DatetimeIndex(days)).assign(volume=np.nan)
        return pd.concat([random_bars(99), others]).sort_index().rename_axis("session")

    check(extra(*["2024-01-01", "2024-01-15", "2024-02-19"][:count]))
    saturdays = extra(*["2024-01-06", "2024-01-13"][:count])
    if count == 1:
        assert found(check(saturdays)[1])[0] == (date(2024, 1, 6), "off_calendar", "reject")
        return
    with pytest.raises(BadDataError, match="2 of 101 bars"):
        check(saturdays)


SOUND = random_bars(100, seed=3)


def test_a_hundredfold_row_is_left_out_and_one_that_repeats_an_earlier_one_flagged():
    for factor in (100.0, 0.01):
        assert len(check(scaled(SOUND, factor, 50, PRICES))[0]) == 99
    for row in (10, 49):
        day = (SOUND.index[50].date(), "row_repeats", "flag")
        assert day in found(check(broken_bars(**SOUND.iloc[row]))[1])


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        # Outside by rounding alone
        ({"close": 51.05, "open": 50.0, "high": 51.0, "low": 49.0}, "adj_close_mismatch"),
        ({"volume": np.nan}, "volume_unknown"),
        ({"high": 200.0, "low": 40.0}, "wide_range"),
        ({"adj_close": 40.0}, "adj_close_mismatch"),
    ],
)
def test_a_doubtful_row_is_flagged_and_kept(values, rule):
    bars = broken_bars(**values)
    clean, findings = check(bars)
    assert {(f.rule, f.severity) for f in findings} == {(rule, "flag")}
    pd.testing.assert_frame_equal(clean, bars)
    # Only what is new or changed is flagged, and no volume that is stored.
    assert found(check(bars, known=bars)[1]) == (
        found(findings) if rule == "volume_unknown" else []
    )
    assert bool(check(bars, known=SOUND)[1]) is ("high" in values)


def test_a_session_without_a_row_in_response_and_store_is_a_gap_and_no_weekend_or_holiday():
    bars = random_bars(40, seed=1, last=date(2025, 1, 17))  # 2025-01-09 was a day of mourning
    assert check(bars)[1] == []
    days = [date(2025, 1, 8), date(2025, 1, 10), date(2025, 1, 13)]
    kept = bars[~bars.index.isin(pd.DatetimeIndex(days))]
    assert found(check(kept)[1]) == [(day, "missing_session", "flag") for day in days]
    assert check(kept, known=bars)[1] == []
    late = check(bars.iloc[:-1], last=bars.index[-1].date())[1]
    assert found(late) == [(bars.index[-1].date(), "missing_session", "flag")]
    after = bars.loc["2025-01-14":]
    known = bars.loc[:"2025-01-10"]
    asked = {"known": known, "first": bars.index[0].date()}
    assert found(check(after, **asked)[1]) == [(days[2], "missing_session", "flag")]
    assert check(after, known=known)[1] == []  # which did not ask for it


@pytest.mark.parametrize(
    ("share", "of_file"),
    [(0.39, []), (0.001, [(LAST, "volume_outlier", "flag")])],  # one volume in another unit too
)
def test_the_newest_bar_of_a_live_source_is_held_while_its_volume_is_short(share, of_file):
    bars = broken_bars(-1, volume=share * SOUND["volume"].iloc[-64:-1].median())
    clean, findings = check(bars, live=True)
    assert found(findings) == [(bars.index[-1].date(), "partial_bar", "reject")]
    pd.testing.assert_frame_equal(clean, bars.iloc[:-1])
    assert found(check(bars, live=False)[1]) == of_file
    # A newer bar is there
    bars.iloc[-2:, bars.columns.get_loc("volume")] = [1e5, bars["volume"].median()]
    assert len(check(bars, live=True)[0]) == 100
    high = broken_bars(-1, volume=9 * SOUND["volume"].iloc[-64:-1].median())
    assert found(check(high, live=True)[1]) == [(LAST, "volume_inflated", "reject")]


def test_an_early_close_and_a_bar_without_volume_are_exempt_from_the_partial_guard():
    # The day after Thanksgiving closes at 13:00
    bars = random_bars(100, seed=3, last=date(2024, 11, 29))
    bars.iloc[-1, bars.columns.get_loc("volume")] = 1e5
    assert not is_partial(bars)
    bars.iloc[-2, bars.columns.get_loc("volume")] = 1e5
    assert is_partial(bars.iloc[:-1])
    bars = random_bars(100, seed=3, last=date(2024, 12, 2))  # the session before closed at 13:00
    usual = bars["volume"].median()
    assert is_partial(bars.assign(volume=[*[usual] * 98, 0.3 * usual, 0.3 * usual]))
    assert not is_partial(bars.assign(volume=np.nan))


def test_the_payload_hash_moves_with_bars_and_actions_but_not_with_adj_close():
    bars = random_bars(50, seed=1)
    digest = payload_hash(fetched_of(bars))
    assert payload_hash(fetched_of(bars.assign(adj_close=bars["adj_close"] * 0.99))) == digest
    others = [
        fetched_of(bars.assign(volume=bars["volume"] + 100)),
        fetched_of(bars.assign(close=bars["close"] + 0.01)),
        fetched_of(bars.iloc[1:]),
        fetched_of(bars, make_actions([(bars.index[5], "dividend", 0.5)])),
        fetched_of(bars, symbol="PEP"),
    ]
    assert len({digest, *map(payload_hash, others)}) == 6
