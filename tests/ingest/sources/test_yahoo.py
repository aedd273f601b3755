import copyreg
import pickle
from datetime import date, timedelta
from itertools import product
from unittest import mock

import pandas as pd
import pytest

from forecasting.errors import BadDataError, RateLimitedError, UnavailableError
from forecasting.ingest.actions import make_actions
from forecasting.ingest.sources import Request
from forecasting.ingest.sources import yahoo as source
from forecasting.ingest.sources.yahoo import Yahoo, calendar_dates, page_dates
from tests.builders import adjusted_close, random_bars
from tests.yahoo_stand_in import (
    CALENDAR_ANSWERS,
    COOKIE_HOSTS,
    ZONE,
    StandIn,
    asked_here,
    forget_yahoo,
    live_bar,
    missing_row,
    null_row,
    past_reports,
    route_yahoo_here,
)

BARS = random_bars(90, seed=11)
DAYS = [day.date() for day in BARS.index]
ACTIONS = make_actions(
    [
        (DAYS[20], "dividend", 0.53),
        (DAYS[60], "split", 2.0),
        (DAYS[80], "dividend", 0.57),
        (DAYS[80], "split", 1.5),
    ]
)


@pytest.fixture
def stand_in(monkeypatch):
    with asked_here(StandIn(BARS, ACTIONS), monkeypatch.setattr) as stand_in:
        yield stand_in


@pytest.fixture
def yahoo(stand_in, tmp_path):
    return Yahoo(tmp_path / "yahoo", timeout_s=10.0)


def fetch(yahoo, symbol="SBUX", first=DAYS[0], last=DAYS[-1]):
    return yahoo.fetch(Request("yahoo", symbol, first, last))


def test_bars_and_actions_equal_yahoos(yahoo):
    fetched = fetch(yahoo)
    expected = BARS.assign(adj_close=adjusted_close(BARS, ACTIONS))
    pd.testing.assert_frame_equal(fetched.bars, expected, check_freq=False)
    pd.testing.assert_frame_equal(fetched.actions, ACTIONS)
    assert (fetched.request.source, fetched.request.first, fetched.request.last, fetched.live) == (
        "yahoo",
        DAYS[0],
        DAYS[-1],
        True,
    )
    assert (fetched.title, fetched.currency) == ("SBUX, daily, from Yahoo Finance", "USD")
    assert fetched.library_version.startswith("yfinance 1.")
    announced = fetch(yahoo, last=DAYS[79])  # with the actions of the session after its newest bar
    assert announced.bars.index[-1].date() == DAYS[79]
    pd.testing.assert_frame_equal(announced.actions, ACTIONS)


def test_requests_are_further_apart_from_the_first_refusal_on_in_later_nights_too(
    stand_in, yahoo, monkeypatch
):
    monkeypatch.setattr(source, "PAUSES_S", (0.01, 0.02))
    stand_in.fail_always("500")
    with pytest.raises(UnavailableError):
        fetch(yahoo)
    assert yahoo.pause_s == 0.01
    stand_in.fail_always("429")
    with pytest.raises(RateLimitedError):
        fetch(yahoo)
    assert yahoo.pause_s == 0.02
    assert Yahoo(yahoo.cache_dir).pause_s == 0.02


def test_two_requests_lie_a_pause_apart_whichever_process_makes_them(yahoo, monkeypatch):
    clock = [100.0]
    slept = []

    def sleep(seconds):
        slept.append(round(seconds, 3))
        clock[0] += seconds

    monkeypatch.setattr(source, "_monotonic", lambda: clock[0])
    monkeypatch.setattr(source, "_sleep", sleep)
    monkeypatch.setattr(source, "PAUSES_S", (1.0, 2.0))
    fetch(yahoo)
    clock[0] += 0.25
    # Another process has an object of its own, with the same folder.
    Yahoo(yahoo.cache_dir).earnings_dates({"SBUX": MARCH_25}, APRIL)
    clock[0] += 3.0
    fetch(yahoo)
    # The machine has started again, and its clock at 0.
    clock[0] = 5.0
    fetch(yahoo)
    assert slept == [0.75, 0.0, 1.0]


def test_a_fetch_is_one_request_whose_newest_bar_is_finished_where_newer_ones_follow(
    stand_in, yahoo
):
    stand_in.edits = [live_bar(DAYS[-1] + timedelta(days=3))]
    fetched = fetch(yahoo, first=DAYS[10], last=DAYS[-2])
    assert (fetched.bars.index[0].date(), fetched.bars.index[-1].date(), fetched.live) == (
        DAYS[10],
        DAYS[-2],
        False,
    )
    assert fetch(yahoo).bars.index[-1].date() == DAYS[-1]
    assert len(stand_in.charts()) == 2
    stand_in.edits = []
    assert (fetch(yahoo).live, fetch(yahoo, last=DAYS[-3]).live) == (True, False)
    stand_in.edits = [null_row(*DAYS[-2:])]
    assert fetch(yahoo, last=DAYS[-3]).live


@pytest.mark.parametrize("without", [[], [missing_row(DAYS[-1])]], ids=["a bar", "no bar"])
def test_a_funds_capital_gain_is_a_dividend_of_its_day_before_its_bar_and_beside_another(
    stand_in, yahoo, monkeypatch, without
):
    chart = stand_in.chart
    gains = {DAYS[-1]: 0.75, DAYS[-1] + timedelta(days=3): 1.25}

    def of_a_fund(*asked):
        (result,) = (found := chart(*asked))["chart"]["result"]
        result["meta"]["instrumentType"] = "ETF"
        at = {
            int(pd.Timestamp(f"{day} 09:30", tz=ZONE).timestamp()): value
            for day, value in gains.items()
        }
        result["events"]["capitalGains"] = {
            str(when): {"amount": value, "date": when} for when, value in at.items()
        }
        when = min(at)
        result["events"]["dividends"] |= {str(when): {"amount": 0.5, "date": when}}
        return found

    monkeypatch.setattr(stand_in, "chart", of_a_fund)
    stand_in.edits = without
    fetched = fetch(yahoo)
    paid = make_actions([(day, "dividend", 1.25) for day in gains])
    pd.testing.assert_frame_equal(fetched.actions[-2:].reset_index(drop=True), paid)
    assert fetched.bars.index[-1].date() == DAYS[-1]


def test_another_exchange_loses_no_day_to_its_time_zone(stand_in, yahoo, monkeypatch):
    for zone in ("Asia/Tokyo", "Europe/London", "Pacific/Auckland"):
        monkeypatch.setattr("tests.yahoo_stand_in.ZONE", zone)
        assert [
            day.date() for day in fetch(yahoo, first=DAYS[10], last=DAYS[-2]).bars.index
        ] == DAYS[10:-1]


def test_a_symbol_and_a_span_of_which_yahoo_has_no_bar_are_bad_data(stand_in, yahoo):
    with pytest.raises(
        BadDataError, match=r"has no bars of NOSUCH.*No data found, symbol may be delisted"
    ):
        fetch(yahoo, "NOSUCH")
    stand_in.edits = [null_row(*DAYS)]
    with pytest.raises(BadDataError, match="no bar of SBUX between"):
        fetch(yahoo)


def test_no_network_is_unavailable(monkeypatch, tmp_path):
    forget_yahoo()
    route_yahoo_here("http://127.0.0.1:9", monkeypatch.setattr)
    with pytest.raises(UnavailableError, match="Could not connect"):
        fetch(Yahoo(tmp_path / "yahoo", timeout_s=10.0))
    forget_yahoo()


@pytest.fixture
def silent_cookies(stand_in):
    stand_in.silent_hosts = COOKIE_HOSTS
    source.SESSION.cookie_limit_s = 0.2


@pytest.mark.usefixtures("silent_cookies")
def test_a_fetch_has_the_time_that_yfinance_waits_for_cookies_and_data(stand_in, tmp_path):
    yahoo = Yahoo(tmp_path / "yahoo")
    assert len(fetch(yahoo).bars) == 90
    assert sum(source.SESSION.limits_s) < yahoo.timeout_s
    forget_yahoo()
    source.SESSION.limits_s.clear()
    stand_in.calendar_fault = "500"  # after an HTTP error yfinance tries both hosts again
    with pytest.raises(UnavailableError):
        yahoo.earnings_dates({"SBUX": MARCH_25}, APRIL)
    assert len(stand_in.calendar_requests()) == 2
    assert sum(source.SESSION.limits_s) < yahoo.timeout_s


@pytest.mark.usefixtures("silent_cookies")
def test_a_fetch_that_takes_too_long_leaves_its_session_to_the_next_one(stand_in, tmp_path):
    with pytest.raises(UnavailableError, match=r"did not respond for SBUX in 0\.05 s"):
        fetch(Yahoo(tmp_path / "yahoo", timeout_s=0.05))
    assert len(fetch(Yahoo(tmp_path / "yahoo", timeout_s=10.0)).bars) == 90
    assert len([path for path in stand_in.requests if path.startswith("/fc.yahoo.com")]) == 1


APRIL = date(2024, 4, 1)  # the calendar is requested up to 2024-07-10
MARCH_25 = date(2024, 3, 25)  # from which on a symbol is asked whose reports are known
YEAR_AGO = date(2023, 4, 3)


def test_the_earnings_calendar_lists_the_requested_symbols_and_days_in_one_request(stand_in, yahoo):
    stand_in.calendar = [
        ("MSFT", "2024-04-25T20:00:00.000Z", "AMC"),
        ("MSFT", "2024-03-24T20:00:00.000Z", "AMC"),
        ("SBUX", "2024-03-25T20:00:00.000Z", "AMC"),
        ("SBUX", "2024-04-30T04:00:00.000Z", "TNS"),
        ("SBUX", "2024-07-30T20:00:00.000Z", "AMC"),
        ("KO", "2024-04-30T10:55:00.000Z", "BMO"),
        ("BRK-B", "2024-07-10T12:00:00.000Z", "BMO"),
    ]
    found = yahoo.earnings_dates(
        dict.fromkeys(["SBUX", "MSFT", "BRK-B", "VOD.L", "^VIX"], MARCH_25), APRIL
    )
    assert [(row.symbol, str(row.announced)[:10], row.timing) for row in found.itertuples()] == [
        ("BRK-B", "2024-07-10", "bmo"),
        ("MSFT", "2024-04-25", "amc"),
        ("SBUX", "2024-03-25", "amc"),
        ("SBUX", "2024-04-30", ""),
    ]
    assert len(stand_in.calendar_requests()) == 1
    assert not [path for path in stand_in.requests if "screener" in path]


def test_the_calendar_of_many_symbols_takes_a_request_for_every_25_and_none_for_other_exchanges(
    stand_in, yahoo
):
    names = [f"A{number}" for number in range(60)]
    stand_in.calendar = [(name, "2024-04-25T20:00:00.000Z", "AMC") for name in names]
    since = dict.fromkeys([*names, "VOD.L", "ES=F"], MARCH_25)
    assert sorted(yahoo.earnings_dates(since, APRIL)["symbol"]) == sorted(names)
    assert len(stand_in.calendar_requests()) == 3
    found = yahoo.earnings_dates(dict.fromkeys(["VOD.L", "^GSPC", "ES=F"], MARCH_25), APRIL)
    assert (found.columns.tolist(), len(found)) == (["symbol", "announced", "timing"], 0)
    assert len(stand_in.calendar_requests()) == 3


QUARTERS = ["2023-04-27", "2023-07-27", "2023-10-26", "2024-01-25", "2024-04-25"]


def test_a_year_of_30_symbols_takes_requests_within_the_calendars_rows(stand_in, yahoo):
    names = [f"A{number}" for number in range(30)]
    stand_in.calendar = [row for name in names for row in past_reports(name, QUARTERS)]
    dates = yahoo.earnings_dates(dict.fromkeys(names, YEAR_AGO), APRIL)
    listed = {(row.symbol, str(row.announced.date())) for row in dates.itertuples()}
    assert listed == set(product(names, QUARTERS))
    assert len(dates) == len(listed)
    assert set(dates["timing"]) == {"amc"}
    assert [len(symbols) for symbols, *_ in stand_in.calendar_spans] == [8, 8, 8, 6]
    assert max(count for *_, count in stand_in.calendar_spans) < 100


def test_a_symbol_has_the_dates_from_its_own_day_on_whoever_shares_its_request(stand_in, yahoo):
    stand_in.calendar = [
        row for name in ("KO", "PEP", "SBUX") for row in past_reports(name, QUARTERS)
    ]
    since = {"KO": YEAR_AGO, "PEP": date(2024, 1, 26), "SBUX": MARCH_25}
    dates = yahoo.earnings_dates(since, APRIL)
    assert dates.groupby("symbol")["announced"].size().to_dict() == {"KO": 5, "PEP": 1, "SBUX": 1}
    spans = [(symbols, first) for symbols, first, *_ in stand_in.calendar_spans]
    assert spans == [(["SBUX", "PEP", "KO"], "2023-04-03")]
    assert yahoo.earnings_dates({}, APRIL).empty


def test_a_refusal_costs_dates_of_the_past_before_it_costs_the_next_dates(
    stand_in, yahoo, monkeypatch
):
    names = [f"A{number}" for number in range(25)]
    stand_in.calendar = [row for name in ["KO", *names] for row in past_reports(name, QUARTERS)]
    request = Yahoo._request_calendar

    def fails_next(*given):
        stand_in.calendar_fault = "429" if stand_in.calendar_requests() else None
        return request(*given)

    monkeypatch.setattr(Yahoo, "_request_calendar", fails_next)
    dates = yahoo.earnings_dates({"KO": YEAR_AGO} | dict.fromkeys(names, MARCH_25), APRIL)
    assert sorted(dates["symbol"]) == sorted(names)


@pytest.mark.parametrize("fault", ["429", "down", *CALENDAR_ANSWERS])
def test_a_calendar_that_cannot_be_read_raises_and_the_next_attempt_works(stand_in, yahoo, fault):
    stand_in.calendar = [("SBUX", "2024-04-30T20:00:00.000Z", "AMC")]
    stand_in.calendar_fault = fault
    with pytest.raises(RateLimitedError if fault == "429" else UnavailableError):
        yahoo.earnings_dates({"SBUX": MARCH_25}, APRIL)
    stand_in.calendar_fault = None
    assert len(yahoo.earnings_dates({"SBUX": MARCH_25}, APRIL)) == 1


def test_a_calendar_that_fails_after_its_first_symbols_keeps_their_dates(
    stand_in, yahoo, caplog, monkeypatch
):
    names = [f"A{number}" for number in range(60)]
    stand_in.calendar = [(name, "2024-04-25T20:00:00.000Z", "AMC") for name in names]
    request = Yahoo._request_calendar

    def fails_next(*given):
        stand_in.calendar_fault = "500" if stand_in.calendar_requests() else None
        return request(*given)

    monkeypatch.setattr(Yahoo, "_request_calendar", fails_next)
    dates = yahoo.earnings_dates(dict.fromkeys(names, MARCH_25), APRIL)
    assert sorted(dates["symbol"]) == sorted(names[:25])
    assert "no earnings calendar of 35 symbols from Yahoo" in caplog.text


UNUSABLE = "500 401 422 down truncated empty short dropped no_result no_bars no_timezone"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("429", RateLimitedError),
        ("404", BadDataError),
        *((fault, UnavailableError) for fault in UNUSABLE.split()),
    ],
)
def test_a_broken_response_raises_and_the_next_attempt_of_the_same_process_works(
    stand_in, yahoo, fault, error
):
    stand_in.fail_always(fault)
    with pytest.raises(error, match="SBUX") as caught:
        fetch(yahoo)
    # Dask, once a test has loaded it, pickles causes too
    with mock.patch.dict(copyreg.dispatch_table, clear=True):
        again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))
    stand_in.fail()
    assert len(fetch(yahoo).bars) == 90


def test_a_missing_adj_close_block_reads_as_close(stand_in, yahoo):
    stand_in.fail("no_adjclose")
    bars = fetch(yahoo).bars
    assert bars["adj_close"].tolist() == bars["close"].tolist()


@pytest.mark.parametrize(
    ("start", "stated", "timing"),
    [
        ("2024-01-30T21:30:00Z", "AMC", "amc"),
        ("2024-01-31T01:00:00Z", "AMC", "amc"),  # the day is New York's
        *((f"2024-01-30T{hour}:00Z", stated, timing) for hour, stated, timing in [
            ("21:00", "TAS", "amc"), ("14:00", "TAS", "bmo"), ("17:00", "TAS", ""),
            # Only where it states one
            ("21:00", "TNS", ""), ("21:00", "BMO", "bmo"), ("21:00", None, ""),
            # A day without a time
            ("00:00", "TNS", ""), ("00:00", "TAS", ""), ("00:00", "AMC", "amc"),
        ]),
    ],
)  # fmt: skip
def test_day_and_timing_of_the_calendar(start, stated, timing):
    # One with a timing counts
    rows = [(start, stated), ("2024-01-30T05:00:00Z", "TNS")][: 2 if timing else 1]
    listed = pd.DataFrame(rows, columns=["Event Start Date", "Timing"], index=["A"] * len(rows))
    found = calendar_dates(listed, ["A", "B"])
    assert [
        (row.symbol, f"{row.announced:%Y-%m-%d}", row.timing) for row in found.itertuples()
    ] == [("A", "2024-01-30", timing)]


@pytest.mark.parametrize(
    ("exchange", "at", "announced", "timing"),
    [
        ("XNYS", "2025-10-14 09:30 America/New_York", "2025-10-14", "bmo"),
        ("XNYS", "2025-10-14 09:31 America/New_York", "2025-10-14", ""),
        ("XNYS", "2025-10-14 16:00 America/New_York", "2025-10-14", "amc"),
        ("XNYS", "2025-11-28 14:00 America/New_York", "2025-11-28", "amc"),  # an early close
        # A Saturday: Monday reacts at any hour
        ("XNYS", "2025-11-29 17:00 America/New_York", "2025-11-29", ""),
        ("XPAR", "2025-10-14 17:00 Europe/Paris", "2025-10-14", "amc"),  # so Yahoo writes 17:45
        ("XPAR", "2025-10-14 16:59 Europe/Paris", "2025-10-14", ""),
        ("XTKS", "2025-10-15 16:00 Asia/Tokyo", "2025-10-15", "amc"),
        ("XTKS", "2024-11-01 15:00 Asia/Tokyo", "2024-11-01", "amc"),  # it closed at 15:00 then
        ("24/7", "2025-10-15 12:00 UTC", "2025-10-15", ""),
        ("BVMF", "2019-03-06 17:00 America/Sao_Paulo", "2019-03-06", "amc"),
        # It closes at 18:00 since November 2019
        ("BVMF", "2020-03-06 17:00 America/Sao_Paulo", "2020-03-06", ""),
    ],
)
def test_day_and_timing_of_instants_are_those_of_the_exchanges_clock(
    exchange, at, announced, timing
):
    local, _, zone = at.rpartition(" ")
    for of_page in ("America/New_York", "UTC"):
        found = page_dates(
            pd.DatetimeIndex([local], tz=zone).tz_convert(of_page), exchange=exchange
        )
        assert [(f"{row.announced:%Y-%m-%d}", row.timing) for row in found.itertuples()] == [
            (announced, timing)
        ]
