from datetime import date
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import BadDataError, UnavailableError, UsageError
from forecasting.ingest.bar_rules import QUIET_EARNINGS, UNREAD_EARNINGS
from forecasting.ingest.earnings import (
    EXPECTED,
    RHYTHM,
    SHIPPED,
    STORED,
    Announced,
    Reports,
    announced_by,
    asked_since,
    doubts,
    new_events,
    nothing_stored,
    reacting,
    validity_intervals,
)
from forecasting.ingest.event_files import (
    check_events,
    dates_of,
    no_events,
    on_rhythm,
    read_events_csv,
    shipped_events,
)
from forecasting.preprocess.windows import make_windows
from forecasting.sessions import calendar, sessions_index, shift
from forecasting.settings import Settings
from tests.builders import random_bars
from tests.store.rows import at

TONIGHT = date(2024, 4, 12)
A_WEEK_AGO = date(2024, 4, 5)
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
    found = reacting(
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


@pytest.mark.parametrize("offset", [0, 1])
def test_the_session_that_reacts_to_a_report_of_unknown_hour_is_learned_from_the_volume_after_earlier_ones(
    offset,
):
    bars, days = stock(offset)
    coming = pd.DatetimeIndex(["2024-04-16"])
    found = reacting(untimed(days.append(coming)), reports=Reports(days, bars["volume"]))
    expected = sessions_index(bars.index[0].date(), date(2024, 5, 31), "XNYS")
    assert (
        found["session"].tolist()
        == expected[expected.get_indexer(days.append(coming)) + offset].tolist()
    )
    stated = reacting(untimed(coming).assign(timing="bmo"), reports=Reports(days, bars["volume"]))
    assert rows(stated, "session") == [("2024-04-16",)]
    unknown = reacting(untimed(coming), reports=Reports(days, bars["volume"] * float("nan")))
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
        events = reacting(untimed(days), reports=Reports(days, bars["volume"]))
        return make_windows(bars, events, origin=origin.date(), settings=Settings(), rows=300)

    one = inputs(bars, days)
    other = inputs(altered, moved)
    for name in ("steps", "flags", "future_flags", "scaled"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_filing_off_the_companys_rhythm_is_known_when_it_has_happened_and_later_ones_do_not_decide_on_it():
    filed = shipped_events("SBUX")
    days = pd.DatetimeIndex(filed["announced"])
    first = pd.Timestamp("2020-01-28")
    apart = [350, 351, 379, 380, 365 * 3 + 14, 365 * 3 + 15]
    pairs = [first + pd.to_timedelta([0, days_after], unit="D") for days_after in apart]
    assert [bool(on_rhythm(pair)[1]) for pair in pairs] == [True, True, True, False, True, False]
    assert all(
        on_rhythm(days[:n]).tolist() == on_rhythm(days)[:n].tolist() for n in range(1, len(days))
    )
    off = dates_of(pd.DatetimeIndex(["2020-01-28", "2020-04-08"]), scheduled=[True, False])
    ahead = str(shift(date(2020, 1, 28), -21))
    assert rows(reacting(off), "session", "known_from", "known_rule") == [
        ("2020-01-28", ahead, "21 sessions ahead"),
        ("2020-04-08", "2020-04-08", "unscheduled"),
    ]


def test_a_company_has_shipped_dates_and_announced_ones_count_where_both_have_a_quarter():
    coming = partial(Announced, "csv:own.csv")
    shipped = len(shipped_events("KO"))

    def counts(symbol, exchange="XNYS", announced=None):
        found = added(
            nothing_stored(),
            announced or Announced("csv:bars.csv", no_events()),
            symbol=symbol,
            exchange=exchange,
        )
        assert found["session"].is_unique
        return found["source"].value_counts().to_dict()

    assert counts("KO") == {SHIPPED: shipped}
    # A coming date alone keeps the past ones
    own = coming(dates("2024-04-29"))
    assert counts("KO", announced=own) == {"csv:own.csv": 1, SHIPPED: shipped - 1}
    assert set(shipped_events("SBUX")["timing"]) == {"amc", "bmo"}
    assert counts("SPY") == counts("KO", "XTSE") == {}


def test_an_event_is_known_from_the_day_it_was_seen_and_else_21_sessions_ahead():
    events = dates("2024-01-30", "2024-04-30")
    ahead, past = (str(shift(date.fromisoformat(day), -21)) for day in ("2024-05-01", "2024-01-31"))
    assert rows(reacting(events), "known_from", "known_rule") == [(past, AHEAD), (ahead, AHEAD)]
    of_list = reacting(events, seen=date(2024, 3, 9))
    assert rows(of_list, "known_from", "known_rule") == [(past, AHEAD), ("2024-03-11", "seen")]
    assert rows(reacting(events, seen=date(2024, 5, 1)), "known_rule") == [(AHEAD,), (AHEAD,)]
    days = calendar("XNYS").sessions
    assert rows(reacting(dates(*days[-2:])), "announced") == [(str(days[-2].date()),)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
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
    assert check_events(f"csv:{path}", ["ADBE", "PEP"]) == path.name
    assert [check_events(option, ["ADBE"]) for option in ("yahoo", None)] == ["yahoo", ""]
    for option in (f"parquet:{path}", "csv:"):
        with pytest.raises(UsageError, match="Expected events as a"):
            check_events(option, ["ADBE"])
    with pytest.raises(UsageError, match="line 5: expected a date"):
        check_events(f"csv:{path}", ["KO"])


# A source's lists.


def dates(*days):
    """A list with these dates, after the close."""
    return dates_of(pd.DatetimeIndex(list(days)), "amc")


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
    """A source that keeps what is asked of it."""

    name = "yahoo"

    def __init__(self, *days, timing="amc", error=None):
        self.days = days
        self.timing = timing
        self.error = error
        self.asked = []

    def earnings_dates(self, since, session):
        self.asked.append((since, session))
        if self.error is not None:
            raise self.error
        listed = pd.DatetimeIndex(list(self.days))
        return pd.DataFrame({"symbol": "KO", "announced": listed, "timing": self.timing})


def listed_by(option, source, *symbols, stored=None):
    """What a file or a source has announced of symbols, of which the rows `stored` are stored."""
    rows_of_all = nothing_stored() if stored is None else stored
    exchanges = dict.fromkeys(symbols, "XNYS")
    return announced_by(option, source, exchanges, TONIGHT, stored=lambda _: rows_of_all)


def test_a_source_is_asked_once_for_all_symbols_when_the_first_of_them_is():
    source = Source("2024-04-30")
    of_symbol = listed_by(None, source, "KO", "PEP")
    assert source.asked == []
    found = [of_symbol(symbol) for symbol in ("KO", "PEP")]
    # Shipped dates of both reach past tonight.
    assert source.asked == [(dict.fromkeys(["KO", "PEP"], A_WEEK_AGO), TONIGHT)]
    assert [rows(one.dates, "announced", "timing") for one in found] == [
        [("2024-04-30", "amc")],
        [],
    ]
    assert {(one.source, one.seen, one.unread) for one in found} == {("yahoo", TONIGHT, None)}
    without = listed_by(None, SimpleNamespace(name="house"), "KO")("KO")
    assert (without.dates.empty, without.unread) == (True, None)


LAST_YEAR = ["2023-04-25", "2023-07-25", "2023-10-24", "2024-01-30"]


@pytest.mark.parametrize(
    ("known", "since"),
    [
        ([], "2023-04-14"),  # a year
        (["2021-10-26", "2022-01-25"], "2023-04-14"),
        (LAST_YEAR, "2024-01-31"),
        (LAST_YEAR[::-1], "2024-01-31"),
        ([*LAST_YEAR, "2024-04-10"], str(A_WEEK_AGO)),
        ([*LAST_YEAR, "2024-04-30"], str(A_WEEK_AGO)),
        # The next date is known, and those before it are not, as on a ledger that began lately.
        (["2024-04-30"], "2023-04-14"),
        (["2022-11-01", "2024-01-30"], "2023-04-14"),
        (["2023-04-25", "2023-10-24", "2024-01-30"], "2023-04-26"),
        # A list that ended half a year before the year lacks nothing within it.
        (["2022-10-25", *LAST_YEAR], "2024-01-31"),
    ],
)
def test_a_source_is_asked_from_the_day_after_the_newest_known_report_on(known, since):
    days = pd.Series(pd.DatetimeIndex(known))
    assert str(asked_since(days, TONIGHT)) == since


def test_known_reports_are_the_stored_ones_that_are_not_withdrawn_and_the_shipped_ones():
    source = Source()
    stored = frame(*(event(day, announced=day) for day in LAST_YEAR))
    listed_by(None, source, "KOA", stored=stored)("KOA")
    ended_newest = frame(
        *(event(day, announced=day) for day in LAST_YEAR),
        event(LAST_YEAR[-1], announced=LAST_YEAR[-1], rule="withdrawn"),
    )
    listed_by(None, source, "KOA", "KO", stored=ended_newest)("KO")
    newest = [{symbol: str(day) for symbol, day in since.items()} for since, _ in source.asked]
    assert newest == [{"KOA": "2024-01-31"}, {"KOA": "2023-10-25", "KO": str(A_WEEK_AGO)}]


def test_a_ledger_that_starts_in_december_2026_has_all_reports_of_2026():
    session = date(2026, 12, 7)
    source = Source("2026-02-10", "2026-04-28", "2026-07-21", "2026-10-27", "2027-02-09")
    of_symbol = announced_by(
        None, source, {"KO": "XNYS"}, session, stored=lambda _: nothing_stored()
    )
    found = new_events(
        nothing_stored(),
        of_symbol("KO"),
        symbol="KO",
        exchange="XNYS",
        session=session,
        volume=FLAT,
    )
    assert source.asked == [({"KO": date(2025, 12, 8)}, session)]
    newer = found[found["session"] > "2025-12-01"]
    past = ["2026-02-11", "2026-04-29", "2026-07-22", "2026-10-28"]
    assert rows(newer, "session", "known_from", "known_rule") == [
        *((day, str(shift(date.fromisoformat(day), -21)), AHEAD) for day in past),
        ("2027-02-10", str(session), "seen"),
    ]


def test_a_file_of_dates_takes_the_place_of_the_source(tmp_path):
    source = Source("2024-04-30")
    option = f"csv:{write(tmp_path, 'announced,timing' + chr(10) + '2024-05-07,bmo')}"
    found = listed_by(option, source, "KO")("KO")
    assert (source.asked, found.source, found.seen) == ([], option, None)
    assert rows(found.dates, "announced", "timing") == [("2024-05-07", "bmo")]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (Source("2024-04-30", timing="4pm"), BadDataError),
        (Source("2024-04-30 16:00"), BadDataError),
        (Source(error=UnavailableError("No response.")), UnavailableError),
        (Source(error=KeyError("announced")), BadDataError),
    ],
)
def test_a_list_that_cannot_be_read_is_a_finding_of_the_night(source, error):
    found = listed_by(None, source, "KO")("KO")
    assert (found.dates.empty, type(found.unread)) == (True, error)
    (finding,) = doubts(found, of_sessions("2024-01-31"), TONIGHT, FLAT)
    assert (finding.session, finding.rule) == (TONIGHT, UNREAD_EARNINGS)


FLAT = pd.Series(100.0, pd.bdate_range("2023-01-02", "2024-04-15"))


def of_sessions(*days):
    return frame(*(event(day) for day in days))


@pytest.mark.parametrize(
    ("reacted", "is_quiet"),
    [
        ([], True),
        (["2024-01-31"], False),
        (["2024-01-30"], False),  # the day of the announcement
        (["2023-11-03"], False),
        (["2023-08-03"], True),
    ],
)
def test_volume_that_reacted_to_neither_of_the_newest_two_dates_is_a_finding(reacted, is_quiet):
    volume = FLAT.copy()
    volume[reacted] = 131.0
    known = of_sessions("2023-08-03", "2023-11-03", "2024-01-31", "2024-05-01")
    found = doubts(Announced("yahoo", no_events()), known, TONIGHT, volume)
    quiet = [(str(one.session), one.rule, one.is_persistent) for one in found]
    assert quiet == ([("2024-01-31", QUIET_EARNINGS, True)] if is_quiet else [])


def test_dates_that_have_ended_are_no_finding():
    known = of_sessions("2023-01-31")
    assert doubts(Announced("yahoo", no_events()), known, TONIGHT, FLAT) == []


def test_reports_that_nobody_announced_are_no_listed_dates_that_volume_can_doubt():
    known = of_sessions("2023-11-03", "2024-01-31").assign(source=RHYTHM, known_rule=EXPECTED)
    assert doubts(Announced("yahoo", no_events()), known, TONIGHT, FLAT) == []


# The stored history.


def added(stored, announced, *, symbol="KOA", exchange="XNYS"):
    """The rows that a night adds; the symbol KOA has no shipped date."""
    volume = random_bars(days=1500, seed=1)["volume"]
    return new_events(
        stored, announced, symbol=symbol, exchange=exchange, session=TONIGHT, volume=volume
    )


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


UNTIMED = partial(event, announced=MAY_1, timing="")
SEEN_8 = ("yahoo", MAY_8, str(TONIGHT), "seen")


def ended(session):
    """The row that withdraws a date tonight."""
    return ("yahoo", session, str(TONIGHT), "withdrawn")


@pytest.mark.parametrize(
    ("stored", "listed", "expected"),
    [
        ([], ["2024-05-07"], [SEEN_8]),
        ([event(MAY_8)], ["2024-05-07"], []),
        ([event(MAY_1)], ["2024-05-07"], [SEEN_8, ended(MAY_1)]),
        ([event(MAY_1, source=FILE)], ["2024-05-07"], [SEEN_8, ended(MAY_1)]),
        ([event(MAY_1)], ["2024-04-30", "2024-05-07"], [SEEN_8]),
        # A short list withdraws nothing
        (
            [event(MAY_1)],
            ["2024-07-30"],
            [("yahoo", "2024-07-31", str(TONIGHT), "seen")],
        ),
        ([event(MAY_1), event(MAY_1, "2024-04-10", "withdrawn")], ["2024-05-07"], [SEEN_8]),
        # 45 days apart are two quarters
        ([event("2024-03-23")], ["2024-05-07"], [SEEN_8]),
        ([event("2024-03-25")], ["2024-05-07"], [SEEN_8, ended("2024-03-25")]),
        # Of the past the newest announcement counts too
        (
            [event("2024-04-10")],
            ["2024-04-10"],
            [
                ("yahoo", "2024-04-11", str(shift(date(2024, 4, 11), -21)), AHEAD),
                ended("2024-04-10"),
            ],
        ),
        ([event(MAY_1)], [], []),
        ([], [], []),
    ],
)
def test_of_a_quarter_the_newest_announcement_counts_and_the_one_before_is_withdrawn(
    stored, listed, expected
):
    found = added(frame(*stored), Announced("yahoo", dates(*listed), TONIGHT))
    assert rows(found, "source", "session", "known_from", "known_rule") == expected


@pytest.mark.parametrize(
    ("stored", "listed", "withdrawn"),
    [
        ("2024-03-15", ["2024-04-25"], []),
        ("2024-03-15", ["2024-03-13"], ["2024-03-15"]),  # a plug-in's list may be longer
        ("2024-04-10", ["2024-04-25"], ["2024-04-10"]),  # asked again
        (MAY_1, ["2024-04-25"], [MAY_1]),
    ],
)
def test_a_past_report_that_is_not_asked_again_is_not_withdrawn(stored, listed, withdrawn):
    """Of a company that reports its year late and its first quarter early."""
    announced = Announced("yahoo", dates(*listed), TONIGHT, since=A_WEEK_AGO)
    found = added(frame(event(stored, announced=stored)), announced)
    assert found["announced"][found["known_rule"] != "withdrawn"].tolist() == [
        pd.Timestamp(day) for day in listed
    ]
    ended_days = found["session"][found["known_rule"] == "withdrawn"]
    assert [str(day.date()) for day in ended_days] == withdrawn


@pytest.mark.parametrize(
    ("stored", "timing", "expected"),
    [
        (UNTIMED(MAY_1), "", []),
        # Stays where it was placed
        (UNTIMED("2024-05-02"), "", []),
        (UNTIMED(MAY_1), "bmo", []),
        (UNTIMED(MAY_1), "amc", [("2024-05-02", "seen")]),
        (UNTIMED("2024-05-02"), "amc", []),
    ],
)
def test_a_date_keeps_its_session_until_its_hour_says_another(stored, timing, expected):
    listed = dates_of(pd.DatetimeIndex([MAY_1]), timing)
    found = added(frame(stored), Announced("yahoo", listed, TONIGHT))
    assert rows(found, "session", "known_rule") == expected


def test_shipped_dates_are_of_quarters_without_an_announcement_or_a_stored_date():
    nothing = Announced("yahoo", no_events(), TONIGHT)
    first = added(nothing_stored(), nothing, symbol="KO")
    stored = first.assign(first_seen_at=pd.Timestamp(at("2024-04-01T22:00")))[STORED]
    assert added(stored, nothing, symbol="KO").empty
    ahead = stored[stored["session"] <= "2024-04-12"]
    again = added(ahead, Announced("yahoo", dates("2024-05-01"), TONIGHT), symbol="KO")
    assert rows(again, "source", "session")[0] == ("yahoo", "2024-05-02")
    others = pd.DatetimeIndex(again[again["source"] == SHIPPED]["announced"])
    assert (abs(others - pd.Timestamp("2024-05-01")) >= pd.Timedelta(days=45)).all()
    assert len(again) == len(first) - len(ahead)


def test_a_stored_date_that_a_truer_shipped_list_lacks_is_withdrawn_for_the_true_one():
    delivery = event("2023-10-02", announced="2023-10-02", source="sec-8k", timing="")
    own = event("2023-07-02", announced="2023-07-02", source="csv:own.csv", timing="")
    stored = frame(own, delivery)
    found = added(stored, Announced("yahoo", no_events(), TONIGHT), symbol="TSLA")
    near = found[found["announced"].between("2023-06-01", "2023-11-30")]
    assert rows(near, "session", "source", "known_rule") == [
        ("2023-10-19", SHIPPED, "21 sessions ahead"),
        ("2023-10-02", "yahoo", "withdrawn"),
    ]
