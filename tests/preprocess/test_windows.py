from __future__ import annotations

from dataclasses import fields
from datetime import date

import numpy as np
import pandas as pd
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from forecasting.errors import HistoryError
from forecasting.preprocess.future_covariates import (
    EVENT_NAMES,
    EVENTS,
    calendar_flags,
    calendar_notes,
    calendar_part,
    event_flags,
)
from forecasting.preprocess.windows import (
    MIN_ROWS,
    SMALLEST_RANGE,
    WARM_UP,
    MarketSeries,
    Windows,
    actual_of,
    from_model,
    make_windows,
)
from forecasting.sessions import between, next_sessions, sessions_index
from forecasting.settings import Settings
from forecasting.targets import TARGETS
from forecasting.train.baselines import baseline_quantiles
from forecasting.vocabulary import HORIZONS
from tests.builders import no_events, random_bars, scaled
from tests.train.windows import newest_windows, some_events

DAYS = 520
BARS = random_bars(days=DAYS, seed=5)
ORIGIN = BARS.index[-30].date()


def windows_of(
    bars=BARS, events=None, origin=ORIGIN, *, rows=300, market=None, target="volume", **given
):
    settings = Settings(targets=target, **given)
    events = no_events() if events is None else events
    return make_windows(bars, events, origin=origin, settings=settings, rows=rows, market=market)


def assert_same(left, right):
    for field in fields(Windows):
        np.testing.assert_array_equal(
            getattr(left, field.name), getattr(right, field.name), err_msg=field.name
        )


@pytest.mark.parametrize("target", ["volume", "range"])
def test_windows_of_an_origin_do_not_change_when_later_bars_do(target):
    for other in (scaled(BARS, 3.0, slice(-29, None)), BARS.iloc[:-29]):
        assert_same(windows_of(target=target), windows_of(other, target=target))


@pytest.mark.parametrize(
    ("target", "unknown", "absent"),
    [
        ("volume", [], []),
        ("range", [], []),
        ("volume", [-437], []),
        ("volume", [-436], []),
        ("volume", [], [-437, -300]),
    ],
)
def test_rows_have_the_same_bits_wherever_history_starts(target, unknown, absent):
    """Also where a volume or a bar at the start is unknown."""
    assert WARM_UP + 250 + 1 == 437
    bars = scaled(BARS.loc[: str(ORIGIN)], np.nan, unknown, "volume")
    bars = bars.iloc[-439:].drop(bars.index[absent])
    late, whole = (
        windows_of(each, target=target, rows=250)
        for each in (bars.iloc[1 + len(absent) // 2 :], bars)
    )
    assert_same(whole, late)


@pytest.mark.parametrize("exchange", ["XNYS", "XTKS", "XSAU"])
@pytest.mark.parametrize("target", ["volume", "range"])
def test_each_row_of_many_is_that_of_a_call_for_its_origin(target, exchange):
    """With reports before, in and after the look-back, some known late and some withdrawn.

    A report that is found in the volume is marked for older rows too, so none reacts here.
    """
    bars = random_bars(days=DAYS, seed=5, exchange=exchange)
    bars["volume"] = bars["volume"].iloc[0]
    sessions = bars.index[40::13]
    days = {"session": sessions, "known_from": bars.index[20::13][: len(sessions)]}
    events = pd.DataFrame(days | {"kind": "earnings", "withdrawn_from": sessions[::-1]})
    given = {"target": target, "exchange": exchange}
    newest = bars.index[-1].date()
    whole = windows_of(bars, events, newest, rows=DAYS, **given)
    assert whole.future_flags.any() and whole.found_reports == ()
    for row in (249, 260, len(whole) - 2):
        of_origin = windows_of(bars, events, whole.origins[row].item(), rows=250, **given)
        known = vars(whole.known_to(row))
        for name in ("future_flags", "level", "scaled"):
            found = known[name][row - 249 : row + 1]
            np.testing.assert_array_equal(found, getattr(of_origin, name), err_msg=name)
        for name in ("steps", "flags", "values", "market"):
            found = known[name][row - 249 : row + 1 + WARM_UP]
            np.testing.assert_array_equal(found, getattr(of_origin, name), err_msg=name)


def test_unknown_volumes_and_missing_bars_leave_features_finite_and_stay_unknown_targets():
    bars = BARS.loc[: str(ORIGIN)]
    unknown = [-120, -90, -89, -40, -1]
    absent = bars.index[[-100, -41, -2]]
    bars = scaled(bars, np.nan, unknown, "volume")
    windows = windows_of(bars.drop(absent))
    known = bars["volume"].where(~bars.index.isin(absent)).to_numpy()
    np.testing.assert_array_equal(windows.values, known[-len(windows.values) :])
    following = sliding_window_view(windows.values[windows.warm_up + 1 :], 5)
    np.testing.assert_array_equal(np.isnan(windows.scaled[:-5]), np.isnan(following))
    for part in (windows.steps, windows.future_flags, windows.level):
        assert np.isfinite(part).all()
    for name in TARGETS["volume"].baselines:
        assert np.isfinite(baseline_quantiles(name, windows)).all(), name


@pytest.mark.parametrize(("target", "run_up"), [("volume", 3), ("range", 0)])
def test_a_range_has_no_flags_of_target_sessions_before_earnings(target, run_up):
    windows = windows_of(events=earnings(BARS.index[-60], BARS.index[-90]), target=target)
    assert windows.future_flags[..., EVENTS].any(axis=(0, 1)).sum() == run_up + 7
    assert windows.flags[:, EVENTS].any(axis=0).all()


def test_windows_have_events_once_a_report_has_been_reacted_to():
    known_from = BARS.index[-90]
    past = windows_of(events=earnings(BARS.index[-60], known_from))
    coming = windows_of(events=earnings(next_sessions(ORIGIN, 2)[-1], known_from))
    assert (past.has_events, coming.has_events) == (True, False)
    assert coming.flags[:, EVENTS].any()


def test_the_last_row_is_the_origin_and_has_no_known_target():
    windows = windows_of()
    assert windows.origins[-1] == np.datetime64(ORIGIN)
    assert windows.sessions[-5:].tolist() == next_sessions(ORIGIN, 5)
    assert np.isnan(windows.scaled[-1]).all()
    assert np.isfinite(windows.scaled[:-5]).all()
    assert windows.learnable_sessions == len(windows.steps)
    assert windows.known_to(280).learnable_sessions == windows.warm_up + 281
    volumes = from_model(windows.scaled, windows.level)
    at = BARS.index.get_loc(pd.Timestamp(ORIGIN)) - 5
    np.testing.assert_allclose(volumes[-6], BARS["volume"].iloc[at + 1 : at + 6])


@pytest.mark.parametrize("target", ["volume", "range"])
def test_rows_of_a_young_symbol_begin_with_the_first_level_and_have_no_month_or_report(target):
    shortest, longest, whole = (
        newest_windows(BARS.tail(sessions), some_events(BARS), target=target, rows=MIN_ROWS)
        for sessions in (66, 435, WARM_UP + MIN_ROWS)
    )
    assert [windows.is_young for windows in (shortest, longest, whole)] == [True, True, False]
    assert [len(windows) for windows in (shortest, longest, whole)] == [45, 414, MIN_ROWS]
    for field in ("level", "scaled"):
        same = getattr(whole, field)
        np.testing.assert_array_equal(getattr(longest, field)[-MIN_ROWS:], same, err_msg=field)
    months = [name.removeprefix("month_").isdigit() for name in whole.flag_names]
    assert sum(months) == 11
    for columns in (months, EVENTS):
        assert whole.future_flags[..., columns].any()
        assert not longest.future_flags[..., columns].any()


@pytest.mark.parametrize(
    ("bars", "origin", "fact"),
    [
        (BARS.iloc[-65:], BARS.index[-1].date(), "at least 66 sessions .* found 65"),
        (BARS, date(2024, 3, 11), "SBUX to have a bar at the origin 2024-03-11"),
        (BARS.assign(volume=np.nan), ORIGIN, "found 0, .* choose target range"),
    ],
)
def test_bars_that_are_too_few_or_have_no_volume_are_refused(bars, origin, fact):
    with pytest.raises(HistoryError, match=fact):
        windows_of(bars, origin=origin)


VIX = MarketSeries(pd.Series(np.linspace(12.0, 30.0, DAYS), index=BARS.index))


def with_market(closes):
    return windows_of(market=MarketSeries(closes))


def test_windows_have_the_log_of_each_market_close_and_do_not_change_when_later_ones_do():
    windows = with_market(VIX.closes)
    altered = VIX.closes.copy()
    np.testing.assert_array_equal(
        windows.market, np.log(VIX.closes.loc[windows.sessions[:-5]].to_numpy())
    )
    altered.iloc[-29:] *= 2.0
    assert_same(windows, with_market(altered))
    altered.iloc[-30] *= 2.0
    changed = with_market(altered).market != windows.market
    np.testing.assert_array_equal(np.flatnonzero(changed), [len(changed) - 1])


def test_without_a_market_series_or_its_newest_value_windows_have_none():
    assert np.isnan(windows_of().market).all()
    assert not windows_of().has_market
    assert not with_market(VIX.closes.iloc[:-35]).has_market
    assert with_market(VIX.closes.iloc[:-34]).has_market


def test_a_range_is_the_log_of_high_over_low_with_a_floor_and_a_volume_of_zero_is_unknown():
    bars = random_bars(days=2).assign(high=[110.0, 50.0], low=[100.0, 50.0], volume=[3.0, 0.0])
    np.testing.assert_allclose(actual_of("range", bars), [np.log(1.1), SMALLEST_RANGE])
    assert actual_of("volume", bars).isna().tolist() == [False, True]
    assert np.isfinite(windows_of(BARS.assign(volume=np.nan), target="range").scaled[:-5]).all()


def test_bars_of_days_without_a_session_are_left_out():
    """As bars of another exchange, once FORECASTING_EXCHANGES was corrected."""
    bars = BARS.loc[: str(ORIGIN)].iloc[-450:]
    both = pd.concat([bars, bars.loc[bars.index.day_of_week == 4].shift(freq="D")]).sort_index()
    assert len(bars) < WARM_UP + 300 + 1 < len(both)
    assert_same(windows_of(both), windows_of(bars))


# Founding Day, both Eids, in Riyadh
BEFORE = ((2, 21), (4, 4), (6, 12))
AFTER = ((2, 25), (4, 16), (6, 24))
HALF = {"half_day", "half_day_november", "after_holiday"}


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2024, 3, 15), {"weekday_fri", "month_03", "third_friday", "triple_witching"}),
        (date(2024, 3, 28), {"weekday_thu", "month_03", "month_end", "quarter_end", "before_holiday"}),
        (date(2024, 4, 1), {"month_04", "month_start", "quarter_start", "after_holiday"}),
        (date(2024, 6, 28), {"weekday_fri", "month_06", "month_end", "quarter_end", "russell"}),
        (date(2024, 11, 29), {"weekday_fri", "month_11", "month_end", "index_review", "index_review_large"} | HALF),
        (date(2019, 4, 18), {"weekday_thu", "month_04", "third_friday", "before_holiday"}),
        # The earliest and the latest Thursday before a Good Friday that is the third one
        (date(2022, 4, 14), {"weekday_thu", "month_04", "third_friday", "before_holiday"}),
        (date(2000, 4, 20), {"weekday_thu", "month_04", "third_friday", "before_holiday"}),
        (date(2018, 6, 22), {"weekday_fri", "month_06", "russell"}),
        (date(2024, 5, 8), {"weekday_wed", "month_05"}),
    ],
)  # fmt: skip
def test_a_session_has_the_calendar_flags_of_its_day(day, expected):
    assert flags_of(day, "XNYS") == expected


@pytest.mark.parametrize(
    ("flag", "month", "days"),
    [
        ("before_christmas", (2022, 12), [21, 22, 23]),
        ("before_christmas", (2024, 12), [23]),
        ("christmas_eve", (2024, 12), [24]),
        ("after_christmas", (2024, 12), [26, 27, 30, 31]),
        ("new_years_eve", (2024, 12), [31]),
        ("new_years_eve", (2024, 10), []),
        ("new_year", (2025, 1), [2, 3]),
        ("thanksgiving_week", (2018, 11), [19, 20, 21]),  # the earliest, on the 22nd
        ("thanksgiving_week", (2024, 11), [25, 26, 27]),  # the latest, on the 28th
        ("independence_day", (2024, 7), [1, 2, 3, 5]),
        ("late_august", (2024, 8), [15, 16, 19, 20, 21, 22, 23, 26, 27, 28, 29, 30]),
        ("triple_witching_week", (2024, 3), [11, 12, 13, 14]),
        ("triple_witching_week", (2024, 6), [17, 18, 20]),  # a holiday on the 19th
        ("triple_witching_week", (2008, 3), [17, 18, 19]),  # expiry on the 20th, before Good Friday
        ("half_day_november", (2024, 11), [29]),
        ("half_day_november", (2024, 12), []),
        ("half_day", (2024, 12), [24]),
        ("russell", (2024, 6), [28]),
        ("russell", (2026, 6), [26]),
        ("russell", (2025, 11), []),
        ("russell", (2026, 11), [13]),
        ("russell", (2030, 11), [8]),
        ("russell", (2031, 11), [14]),
    ],
)
def test_a_season_has_its_days_of_the_month_alone(flag, month, days):
    first = date(*month, 1)
    sessions = between(first, first.replace(day=31 if month[1] in (1, 7, 8, 10, 12) else 30))
    assert [day.day for day in sessions if flag in flags_of(day, "XNYS")] == days


def flags_of(day, exchange):
    values, names = calendar_flags(day, day, exchange)
    return {name for name, value in zip(names, values[0], strict=True) if value}


def test_an_exchange_that_trades_from_sunday_to_thursday_has_holidays_and_no_expiries():
    days = between(date(2024, 1, 1), date(2024, 6, 30), "XSAU")
    flags = {day: flags_of(day, "XSAU") for day in days}
    for name, expected in (("before_holiday", BEFORE), ("after_holiday", AFTER)):
        assert [(day.month, day.day) for day in days if name in flags[day]] == [*expected]
    us_only = {"third_friday", "triple_witching", "triple_witching_week", "russell"}
    assert not us_only & set().union(*flags.values())
    noted = {(day.month, day.day): calendar_notes(day, "XSAU") for day in days}
    assert {day for day, notes in noted.items() if notes} == {*AFTER}


def earnings(session, known_from):
    days = {"session": [pd.Timestamp(session)], "known_from": [pd.Timestamp(known_from)]}
    return pd.DataFrame(days | {"kind": ["earnings"]})


PARTS_OF_FLAGS = {
    "weekday": ["weekday_tue"],
    "month": ["month_02", "month_12"],
    "month_end": ["month_end", "month_end-1", "month_start", "quarter_end"],
    "index": ["index_review", "index_review_large", "russell"],
    "expiry": ["third_friday", "triple_witching", "triple_witching-1", "triple_witching_week"],
    "holiday": ["half_day", "before_holiday-1", "after_christmas", "independence_day"],
}


def test_each_calendar_flag_belongs_to_one_part_of_a_forecast():
    for part, flags in PARTS_OF_FLAGS.items():
        assert {calendar_part(flag) for flag in flags} == {part}


def flags_by(events):
    return event_flags(events, FIRST, len(SESSIONS), "XNYS")


FIRST = date(2024, 1, 2)
SESSIONS = sessions_index(FIRST, date(2024, 2, 29))


def test_the_sessions_around_earnings_have_the_flags_of_their_position():
    """Those of a span that ends before the report, and of one that starts after it, too."""
    run_up = [*["earnings-5..-3"] * 3, "earnings-2", "earnings-1"]
    after = [f"earnings+{k}" for k in range(6)] + ["earnings+6..10"] * 5
    at = int(SESSIONS.searchsorted(pd.Timestamp("2024-01-31")))
    for start, stop in ((at - 6, at + 12), (at - 6, at - 3), (at + 3, at + 12)):
        own, ahead = event_flags(
            earnings("2024-01-31", "2024-01-02"), SESSIONS[start].date(), stop - start, "XNYS"
        )
        names = [
            [name for name, value in zip(EVENT_NAMES, row, strict=True) if value] for row in own
        ]
        for horizon in HORIZONS:
            np.testing.assert_array_equal(ahead[:-horizon, horizon - 1], own[horizon:])
        assert (
            names == [[], *([name] for name in run_up + after), []][start - at + 6 : stop - at + 6]
        )


def test_no_row_uses_an_event_before_it_is_known_or_after_its_withdrawal():
    at = int(SESSIONS.searchsorted(pd.Timestamp("2024-01-29")))
    _, flags = flags_by(earnings("2024-01-31", "2024-01-29"))
    assert [flags[:at].any(), flags[at].any()] == [False, True]
    events = earnings("2024-01-31", "2024-01-10")
    gone = events.assign(withdrawn_from=pd.Timestamp("2024-01-29"))
    for kept, withdrawn in zip(flags_by(events), flags_by(gone), strict=True):
        np.testing.assert_array_equal(withdrawn[:at], kept[:at])
        assert [kept[at:].any(), withdrawn[at:].any()] == [True, False]


def test_other_kinds_and_days_that_are_no_sessions_are_left_out():
    other = earnings("2024-01-31", "2024-01-02").assign(kind="dividend")
    frames = [other, earnings("2024-02-03", "2024-01-02"), earnings("2061-01-26", "2024-01-02")]
    assert not any(flags.any() for flags in flags_by(pd.concat(frames)))


@pytest.mark.parametrize(
    ("session", "notes"),
    [
        (date(2024, 3, 11), []),  # a weekend is no holiday
        (date(2018, 12, 21), ["triple witching"]),
        (date(2018, 12, 25), []),  # of another exchange's bars
        (date(2019, 4, 18), ["options expiry"]),  # the third Friday is Good Friday
        (date(2023, 11, 24), ["half day", "after a holiday"]),
    ],
)
def test_the_notes_of_a_session(session, notes):
    assert [*calendar_notes(session, "XNYS")] == notes
