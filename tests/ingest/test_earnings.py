from dataclasses import replace
from datetime import date
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import UsageError
from forecasting.ingest.bar_rules import STALE_EARNINGS
from forecasting.ingest.earnings import (
    FILINGS,
    OF_FILE,
    OF_FILINGS,
    OF_SOURCE,
    STORED,
    Asking,
    Lists,
    Reports,
    calendar_of,
    changes,
    doubts_of_lists,
    events_of_backtest,
    joined,
    listed_events,
    lists_of_night,
    nothing_stored,
    reacting,
    validity_intervals,
)
from forecasting.ingest.event_files import (
    check_events,
    dates_of,
    filed_events,
    on_rhythm,
    read_events_csv,
)
from forecasting.preprocess.windows import make_windows
from forecasting.sessions import calendar, sessions_index, shift
from forecasting.settings import Settings
from tests.builders import random_bars
from tests.store.rows import at

TONIGHT = date(2024, 4, 12)
AHEAD = "21 sessions ahead"
FILE = "csv:earnings.csv"
MAY_1 = "2024-05-01"
MAY_8 = "2024-05-08"


def write(folder, text):
    path = folder / "earnings.csv"
    path.write_text(text)
    return path


def rows(frame, *columns):
    """The columns as text, days without their hour."""
    kept = frame[list(columns)].itertuples(index=False)
    return [tuple(str(value).removesuffix(" 00:00:00") for value in row) for row in kept]


# Files, and the sessions that react.


@pytest.mark.parametrize(
    ("announced", "timing", "session"),
    [
        ("2023-11-02", "bmo", "2023-11-02"),
        ("2024-01-30", "amc", "2024-01-31"),
        ("2024-03-08", "amc", "2024-03-11"),
        ("2024-01-30", "", "2024-01-30"),
        ("2024-02-17", "amc", "2024-02-20"),  # a Saturday before a holiday
        ("2025-01-09", "bmo", "2025-01-10"),
        ("2024-01-27", "amc", "2024-01-29"),
    ],
)
def test_after_the_close_the_next_session_reacts_and_else_that_of_the_day_or_the_next_one_traded(
    tmp_path, announced, timing, session
):
    found = placed(
        read_events_csv(
            write(tmp_path, f"announced,timing\n{announced},{timing}\n2026-07-01,amc\n")
        )
    )
    assert rows(found.iloc[:1], "session", "announced", "timing") == [(session, announced, timing)]


def stock(offset):
    """Bars of four years, and days of 16 reports, `offset` sessions after which volume triples."""
    bars = random_bars(days=1000, seed=3, last=date(2024, 3, 8))
    days = bars.index[40::60]
    for day in days:
        bars.loc[bars.index[bars.index.get_loc(day) + offset], "volume"] *= 3.0
    return bars, days


def untimed(days):
    return dates_of(days)


def placed(dates, **given):
    """The rows that react to dates of a source."""
    return reacting(dates.assign(rank=OF_SOURCE), **given)


@pytest.mark.parametrize("offset", [0, 1])
def test_the_session_that_reacts_to_a_report_of_unknown_hour_is_learned_from_the_volume_after_earlier_ones(
    offset,
):
    bars, days = stock(offset)
    coming = pd.DatetimeIndex(["2024-04-16"])
    found = placed(untimed(days.append(coming)), reports=Reports(days, bars["volume"]))
    expected = sessions_index(bars.index[0].date(), date(2024, 5, 31), "XNYS")
    assert (
        found["session"].tolist()
        == expected[expected.get_indexer(days.append(coming)) + offset].tolist()
    )
    stated = placed(untimed(coming).assign(timing="bmo"), reports=Reports(days, bars["volume"]))
    assert rows(stated, "session") == [("2024-04-16",)]
    unknown = placed(untimed(coming), reports=Reports(days, bars["volume"] * float("nan")))
    assert rows(unknown, "session") == [("2024-04-16",)]


def naive_late(row, *, started, volume, reported):
    """The answer for one session, by the newest eight reports that its date's first night has."""
    known = max(row - 21, started + 435)
    changes = []
    for place in reported:
        before, after = volume[place : place + 2]
        if place + 1 <= known and before > 0.0 and after > 0.0:
            changes.append(np.log(after) - np.log(before))
    return bool(changes) and np.median(changes[-8:]) > 0.0


@pytest.mark.parametrize(("every", "started", "seed"), [(60, 0, 3), (7, 0, 31), (31, 40, 11)])
def test_whether_a_report_comes_late_is_the_median_of_the_newest_eight_known(every, started, seed):
    days = random_bars(days=620, seed=1).index
    volume = np.random.default_rng(seed).integers(0, 6, 620).astype(float)
    volume[[*range(started), *range(5, 620, 9)]] = np.nan
    reported = range(0, 600, every)
    announced = days[[*reported, 619]].insert(0, pd.Timestamp("1980-01-05"))
    asked = range(430, 600, 3)
    reports = Reports(announced, pd.Series(volume, days)[started:])
    expected = [naive_late(row, started=started, volume=volume, reported=reported) for row in asked]
    assert reports.come_late(np.array(asked), days).tolist() == expected
    assert len(set(expected)) == 2


@pytest.mark.parametrize("offset", [0, 1])
def test_the_inputs_of_an_origin_are_the_same_whatever_comes_after_it(offset):
    bars, days = stock(offset)
    origin = bars.index[700]
    after = bars.index > origin
    unknown = days > bars.index[700 + 22]
    altered = bars.copy()
    altered.loc[after, "volume"] *= random_bars(days=1000, seed=5)["volume"].to_numpy()[after] / 1e6
    moved = days.where(~unknown, days + pd.Timedelta(days=9))

    def inputs(bars, days):
        events = placed(untimed(days), reports=Reports(days, bars["volume"]))
        return make_windows(
            bars, events, origin=origin.date(), settings=Settings(train_sessions=300)
        )

    one = inputs(bars, days)
    other = inputs(altered, moved)
    for name in ("steps", "flags", "future_flags", "scaled"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_filing_off_the_companys_rhythm_is_known_when_it_has_happened_and_later_ones_do_not_decide_on_it():
    filed = filed_events("SBUX")
    days = pd.DatetimeIndex(filed["announced"])
    # A warning of bad results
    assert days[~on_rhythm(days)].tolist() == [pd.Timestamp("2020-04-08")]
    assert all(
        on_rhythm(days[:n]).tolist() == on_rhythm(days)[:n].tolist() for n in range(1, len(days))
    )
    found = placed(filed[filed["announced"].dt.year == 2020])
    ahead = str(shift(date(2020, 1, 28), -21))
    assert rows(found, "session", "known_from", "known_rule")[:2] == [
        ("2020-01-28", ahead, "21 sessions ahead"),
        ("2020-04-08", "2020-04-08", "unscheduled"),
    ]


def test_505_companies_have_days_of_filings_and_a_better_list_counts_where_both_have_a_quarter(
    tmp_path,
):
    bars = random_bars(days=1500, seed=1)

    def dates_of(symbol, exchange="XNYS", file=None):
        of_files = SimpleNamespace(name="csv:bars.csv")
        about = {"symbol": symbol, "exchange": exchange, "file": file}
        night = asking(of_files, nothing_stored(), session=date(2024, 3, 8), **about)
        found = events_of_backtest(night, volume=bars["volume"])
        assert found["session"].is_unique and found["session"].is_monotonic_increasing
        return found["source"].value_counts().to_dict()

    assert dates_of("KO") == {FILINGS: len(filed_events("KO"))}
    # A coming date alone keeps the past ones
    (tmp_path / "own.csv").write_text("announced,timing\n2024-04-29,bmo\n")
    own = f"csv:{tmp_path / 'own.csv'}"
    assert dates_of("KO", file=own) == {own: 1, FILINGS: len(filed_events("KO")) - 1}
    assert dates_of("SBUX") == {"bundled": 65, FILINGS: 25}
    assert dates_of("SPY") == dates_of("KO", "XTSE") == {}


def filed(night: Asking, volume: pd.Series) -> pd.DataFrame:
    lists = lists_of_night(night, of_all(), volume=volume)
    return lists.claims[lists.claims["rank"] == OF_FILINGS]


def test_the_hour_of_a_filing_is_that_of_the_sources_date_on_its_day():
    night = asking(Source("2024-02-13", "2023-10-25"))
    volume = random_bars(days=400, seed=1, last=TONIGHT)["volume"]
    found = dict(rows(filed(night, volume), "announced", "timing"))
    assert (found["2024-02-13"], found["2023-10-24"]) == ("amc", "")
    without = filed(asking(Source()), volume)
    assert set(without["timing"]) == {""}


def test_an_event_is_known_from_the_day_it_was_seen_and_else_21_sessions_ahead():
    events = dates("2024-01-30", "2024-04-30")
    ahead, past = (str(shift(date.fromisoformat(day), -21)) for day in ("2024-05-01", "2024-01-31"))
    assert rows(placed(events), "known_from", "known_rule") == [(past, AHEAD), (ahead, AHEAD)]
    of_list = placed(events, seen=date(2024, 3, 9))
    assert rows(of_list, "known_from", "known_rule") == [(past, AHEAD), ("2024-03-11", "seen")]
    assert rows(placed(events, seen=date(2024, 5, 1)), "known_rule") == [(AHEAD,), (AHEAD,)]
    days = calendar("XNYS").sessions
    assert rows(placed(dates(*days[-2:])), "announced") == [(str(days[-2].date()),)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks announced, timing"),
        ("day,timing\n2024-01-30,amc\n", "lacks announced; of its 2 columns 1 are known: timing"),
        (
            "announced,timing\n2024-01-30,amc\n30.4.2024,amc\n",
            r"line 3: .* from 1962-01-01 to 2059-12-31; found '30\.4\.",
        ),
        (
            "announced,timing\n2024-01-30,noon\n",
            "line 2: expected the timing bmo, amc or empty; found 'noon'",
        ),
    ],
)
def test_an_invalid_file_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        read_events_csv(write(tmp_path, text))


def test_a_file_of_several_symbols_gives_each_its_own_dates_and_a_line_of_another_stops_none(
    tmp_path,
):
    lines = ["2024-01-30,amc,ADBE", "2024-02-06,bmo,PEP", "2024-04-30,amc,ADBE", "soon,amc,KO"]
    path = write(tmp_path, "\n".join(["announced,timing,Ticker", *lines]))
    announced = [
        rows(read_events_csv(path, symbol), "announced") for symbol in ("ADBE", "PEP", "SBUX")
    ]
    assert announced == [[("2024-01-30",), ("2024-04-30",)], [("2024-02-06",)], []]
    check_events(f"csv:{path}", ["ADBE", "PEP"])
    with pytest.raises(UsageError, match="line 5: expected a date"):
        check_events(f"csv:{path}", ["KO"])


# A source's lists.


def dates(*days):
    """A list with these dates, after the close."""
    return dates_of(pd.DatetimeIndex(list(days)), "amc")


def of_all(*days):
    """A calendar with these dates of KO."""
    return lambda: (dates(*days).assign(symbol="KO"), None)


def event(
    session,
    known_from="2024-04-01",
    rule="seen",
    *,
    announced=None,
    source="yahoo",
    timing="amc",
):
    """A stored row, announced after the close of the day before `session`, unless stated."""
    day = pd.Timestamp(session)
    before = pd.Timestamp(announced) if announced else day - pd.Timedelta(days=1)
    return (
        day,
        "earnings",
        pd.Timestamp(known_from),
        rule,
        before,
        timing,
        source,
        pd.Timestamp(at("2024-04-01T22:00")),
    )


def frame(*events):
    typed = dict.fromkeys(("session", "known_from", "announced"), "datetime64[ns]")
    return pd.DataFrame(list(events), columns=STORED).astype(typed)


class Source:
    """A source whose own list of a symbol is counted."""

    name = "yahoo"

    def __init__(self, *days):
        self.days = days
        self.requests = 0

    def earnings_dates(self, symbol):
        self.requests += 1
        return dates(*self.days)


def asking(source=None, stored=None, **changed):
    stored = frame() if stored is None else stored
    return replace(Asking("KO", "XNYS", source or Source(), None, TONIGHT, stored), **changed)


@pytest.mark.parametrize(
    ("stored", "calendar", "requests"),
    [
        (["2024-01-31"], ["2024-04-30"], 0),
        ([], ["2024-04-30"], 1),  # a new symbol
        (["2023-11-03"], ["2024-04-30"], 1),  # a quarter was missed
        (["2024-05-01"], ["2024-04-30"], 1),  # only the future is stored
        (["2024-01-03"], ["2024-04-30"], 0),  # 100 days ago
        (["2024-01-02"], ["2024-04-30"], 1),
        (["2024-01-31"], [], 1),
        (["2024-01-31"], ["2024-04-12"], 1),  # announced today: the next one is not listed
    ],
)
def test_a_symbols_own_list_is_requested_where_the_next_date_or_the_last_one_is_missing(
    stored, calendar, requests
):
    source = Source()
    listed_events(asking(source, of_sessions(*stored)), of_all(*calendar))
    assert source.requests == requests


@pytest.mark.parametrize(
    ("own", "calendar", "expected"),
    [
        (
            ["2024-01-30", "2024-04-29", "2024-07-30"],
            ["2024-05-01"],
            ["2024-01-30", "2024-05-01", "2024-07-30"],
        ),
        (["2024-01-30"], [], ["2024-01-30"]),
        ([], ["2024-05-01"], ["2024-05-01"]),
        (["2024-03-17", "2024-03-18"], ["2024-05-01"], ["2024-03-17", "2024-05-01"]),  # 45 days
        ([], [], []),
    ],
)
def test_of_a_quarter_in_both_lists_the_calendars_date_counts(own, calendar, expected):
    found, unread = listed_events(asking(Source(*own)), of_all(*calendar))
    assert unread is None
    assert [day for (day,) in rows(found, "announced")] == expected


class WithCalendar(Source):
    """A source with a calendar too, which keeps what is asked of it."""

    def earnings_calendar(self, symbols, first, last):
        self.asked = (symbols, first, last)
        return self.listed


@pytest.mark.parametrize(
    ("announced", "timing", "is_sound"),
    [("2024-04-30", "amc", True), ("2024-04-30 16:00", "amc", False), ("2024-04-30", "4pm", False)],
)
def test_a_calendar_is_requested_from_a_week_before_the_nights_to_100_days_after_them(
    announced, timing, is_sound
):
    source = WithCalendar()
    source.listed = dates(announced).assign(symbol="KO", timing=timing)
    nights = [asking(source), asking(source, symbol="PEP", session=date(2024, 4, 15))]
    found, unread = calendar_of([*nights, asking(source, file=FILE)])()
    assert source.asked == (["KO", "PEP"], date(2024, 4, 5), date(2024, 7, 24))
    assert (len(found), unread is None) == (is_sound, is_sound)
    for without in ([], [asking(Source())], [asking(source, file=FILE)]):
        found, unread = calendar_of(without)()
        assert (found.empty, unread) == (True, None)


@pytest.mark.parametrize(("days", "requests"), [(-1, 0), (0, 1)])
def test_without_a_calendar_a_source_is_asked_once_the_other_lists_end(days, requests):
    source = Source()
    newest = filed_events("KO")["announced"].max() + pd.Timedelta(days=days)
    volume = random_bars(days=5)["volume"]
    lists_of_night(asking(source, session=newest.date()), None, volume=volume)
    assert source.requests == requests


def lists(usable=None, listed=None, filed=None):
    """The lists, each with its source; empty where not given."""
    claims = [frame().assign(rank=0)]
    for rank, source, rows in (
        (OF_FILE, FILE, usable),
        (OF_FILINGS, FILINGS, filed),
        (OF_SOURCE, "yahoo", listed),
    ):
        if rows is not None:
            claims.append(rows.assign(source=source, rank=rank))
    return Lists(joined(*claims))


def of_sessions(*days):
    return frame(*(event(day) for day in days))


@pytest.mark.parametrize(
    ("listed", "usable", "stored", "night", "newest"),
    [
        ([], [], ["2023-11-03", "2024-01-31"], TONIGHT, ["2024-01-31"]),
        # 60 days after the newest
        (["2023-11-03", "2024-01-31"], [], [], date(2024, 3, 31), []),
        (["2023-11-03", "2024-01-31"], [], [], date(2024, 4, 1), ["2024-01-31"]),
        # A stored coming date hides nothing
        ([], [], ["2024-01-31", "2024-05-01"], TONIGHT, ["2024-01-31"]),
        ([], ["2024-04-12"], ["2024-01-31"], TONIGHT, ["2024-04-12"]),
        ([], ["2024-04-15"], ["2024-01-31"], TONIGHT, []),
        (["2024-05-01"], [], ["2024-01-31"], TONIGHT, []),
        ([], [], [], TONIGHT, []),
        ([], [], ["2023-04-13"], TONIGHT, ["2023-04-13"]),  # a year
        ([], [], ["2023-04-12"], TONIGHT, []),
    ],
)
def test_a_source_without_a_coming_date_is_a_finding_of_the_newest_session_that_reacted(
    listed, usable, stored, night, newest
):
    has = lists(of_sessions(*usable), of_sessions(*listed))
    found = doubts_of_lists(asking(stored=of_sessions(*stored), session=night), has)
    assert [(str(one.session), one.rule, one.is_persistent) for one in found] == [
        (day, STALE_EARNINGS, True) for day in newest
    ]


def test_a_withdrawn_date_is_no_newest_one_and_filed_dates_that_end_are_a_finding_of_a_file_too():
    stored = frame(event("2024-01-31"), event("2024-01-31", rule="withdrawn"))
    assert doubts_of_lists(asking(stored=stored), lists()) == []
    of_file = asking(object())
    assert [one.session for one in doubts_of_lists(of_file, lists(filed=frame(JANUARY_30)))] == [
        date(2024, 1, 30)
    ]
    assert doubts_of_lists(of_file, lists(filed=frame(JANUARY_30, APRIL_30))) == []


# The stored history.


def changed(stored, of):
    """Source, session, first night and rule of each row that is added."""
    return rows(changes(asking(stored=stored), of), "source", "session", "known_from", "known_rule")


OF_MAY_1 = partial(event, announced=MAY_1)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ([], []),
        # The newest counts
        ([event(MAY_1), event(MAY_1, "2024-03-28")], [(MAY_1, "2024-03-28", "NaT")]),
        (
            [event(MAY_1), event(MAY_1, "2024-04-12", "withdrawn"), event(MAY_1, "2024-04-18")],
            [(MAY_1, "2024-04-01", "2024-04-12"), (MAY_1, "2024-04-18", "NaT")],
        ),
        (  # one announcement under two sessions
            [OF_MAY_1(MAY_1), OF_MAY_1("2024-05-02"), event(MAY_8)],
            [("2024-05-02", "2024-04-01", "NaT"), (MAY_8, "2024-04-01", "NaT")],
        ),
        (
            [
                OF_MAY_1(MAY_1),
                OF_MAY_1(MAY_1, "2024-04-12", "withdrawn"),
                OF_MAY_1("2024-05-02", "2024-04-12"),
            ],
            [(MAY_1, "2024-04-01", "2024-04-12"), ("2024-05-02", "2024-04-12", "NaT")],
        ),
    ],
)
def test_an_interval_ends_with_a_withdrawal_and_a_moved_announcement_counts_once(stored, expected):
    assert (
        rows(validity_intervals(frame(*stored)), "session", "known_from", "withdrawn_from")
        == expected
    )


def now(session, **changed):
    """A coming date that a list has tonight."""
    return event(session, str(TONIGHT), **changed)


def past(session, **changed):
    return event(session, "2023-10-03", AHEAD, **changed)


SEEN_8 = ("yahoo", MAY_8, "seen")
PAST_31 = ("yahoo", "2024-01-31", AHEAD)
ON_30 = {"announced": "2024-01-30", "timing": ""}
UNTIMED = {"announced": MAY_1, "timing": ""}


@pytest.mark.parametrize(
    ("stored", "usable", "listed", "added"),
    [
        ([], [], [now(MAY_8)], [SEEN_8]),
        ([event(MAY_8)], [], [now(MAY_8)], []),
        ([event(MAY_1)], [], [now(MAY_8)], [SEEN_8, ("yahoo", MAY_1, "withdrawn")]),
        ([event(MAY_1)], [], [now(MAY_1), now(MAY_8)], [SEEN_8]),
        # A short list withdraws nothing
        ([event(MAY_1)], [], [now("2024-07-31")], [("yahoo", "2024-07-31", "seen")]),
        # Nor does one a date of another source
        ([event(MAY_1, source=FILE)], [], [now(MAY_8)], [SEEN_8]),
        # It differs
        ([event(MAY_1, source=FILE)], [event(MAY_1, timing="bmo")], [], [(FILE, MAY_1, "seen")]),
        ([event(MAY_1, source=FILE)], [event(MAY_1)], [], []),
        # One of tonight has happened
        ([event("2024-04-12")], [], [now(MAY_8)], [SEEN_8]),
        ([event("2024-04-10")], [], [now("2024-04-12")], []),
        ([event("2024-04-10")], [], [now("2024-04-15")], [("yahoo", "2024-04-15", "seen")]),
        ([], [], [past("2024-01-31")], [PAST_31]),
        # Of a past quarter in both, the file's date counts.
        (
            [],
            [past("2023-11-02")],
            [past("2023-11-01"), past("2024-01-31")],
            [(FILE, "2023-11-02", AHEAD), PAST_31],
        ),
        # A past hour may be corrected
        ([event("2024-01-30", **ON_30)], [], [past("2024-01-31")], [PAST_31]),
        # Stays where it was placed
        ([event(MAY_1, **UNTIMED)], [], [now("2024-05-02", **UNTIMED)], []),
        ([], [past(MAY_1)], [now(MAY_1)], [(FILE, MAY_1, AHEAD)]),
        ([event(MAY_1)], [], [], []),
        ([], [], [], []),
    ],
)
def test_a_night_adds_the_files_dates_new_listed_ones_and_withdrawals(
    stored, usable, listed, added
):
    found = changed(frame(*stored), lists(frame(*usable), frame(*listed)))
    assert [(source, session, rule) for source, session, _, rule in found] == added
    assert {day for source, _, day, rule in found if source == "yahoo" and rule != AHEAD} <= {
        str(TONIGHT)
    }


JANUARY_30 = event("2024-01-30", "2023-12-28", AHEAD, **ON_30)
APRIL_30 = event("2024-04-30", "2024-03-28", AHEAD, announced="2024-04-30", timing="")


@pytest.mark.parametrize(
    ("stored", "usable", "listed", "added"),
    [
        ([], [], [], [(FILINGS, "2024-01-30"), (FILINGS, "2024-04-30")]),
        ([JANUARY_30, APRIL_30], [], [], []),
        # A night has used another date of the quarter
        ([event("2024-02-01")], [], [], [(FILINGS, "2024-04-30")]),
        ([], [event("2024-02-01")], [], [(FILE, "2024-02-01"), (FILINGS, "2024-04-30")]),
        ([], [], [event("2024-02-01")], [(FILINGS, "2024-01-30"), (FILINGS, "2024-04-30")]),
        ([], [], [now("2024-04-12")], [(FILINGS, "2024-01-30"), (FILINGS, "2024-04-30")]),
        # A coming date is the source's
        ([], [], [event(MAY_1)], [(FILINGS, "2024-01-30"), ("yahoo", MAY_1)]),
    ],
)
def test_a_night_adds_the_filings_of_quarters_that_no_other_list_has(stored, usable, listed, added):
    of = lists(frame(*usable), frame(*listed), filed=frame(JANUARY_30, APRIL_30))
    assert [row[:2] for row in changed(frame(*stored), of)] == added
