"""How bars reach a night: with a market series and earnings dates, on the stand-in
for Yahoo."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from flows import clock
from forecasting.audit.series import load_series
from forecasting.errors import ArtifactError, BadDataError
from forecasting.night.night import Night
from forecasting.night.steps import preprocess
from forecasting.night.steps.ingest import ingest
from forecasting.publish.messages import newest_digest
from forecasting.sessions import between, shift
from forecasting.settings import Settings, read_settings
from forecasting.store import connect, read
from tests.builders import EVE, LAST, random_bars, set_small_night, write_yahoo_csv
from tests.nights import after, ingest_only, night, rows, select
from tests.yahoo_stand_in import StandIn, asked_here, market_bars, past_reports

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plain_flows")]

VIX = market_bars(random_bars(days=650, seed=3, last=LAST))


@pytest.fixture
def made(monkeypatch):
    """The windows of every night of the test, oldest first."""
    seen = []
    real = preprocess.make_windows

    def kept(*given, **named):
        seen.append(real(*given, **named))
        return seen[-1]

    monkeypatch.setattr(preprocess, "make_windows", kept)
    return seen


@pytest.fixture
def vix_file(night_folder, tmp_path, monkeypatch):
    """A file of dates and closes up to LAST."""
    path = tmp_path / "VIX.csv"
    VIX[["close"]].rename_axis("Date").to_csv(path)
    monkeypatch.setenv("FORECASTING_MARKET", f"csv:{path}")
    return path


def test_first_bars_that_are_another_stored_symbols_are_refused_unless_the_user_accepts_them(
    sqlite_url, tmp_path
):
    bars = random_bars(days=450, seed=3, last=LAST)
    now = after(LAST)
    write_yahoo_csv(bars, tmp_path / "SBUX.csv")
    write_yahoo_csv(random_bars(days=450, seed=4, last=LAST), tmp_path / "PEP.csv")

    def fetched(symbol, file="SBUX.csv", *, accept=False, last=LAST):
        own = Settings(database_url=sqlite_url, symbols=(symbol,), source=f"csv:{tmp_path / file}")
        return ingest_only(own, last, accept=accept, now=now).verdict

    assert fetched("SBUX", last=bars.index[-11].date()) == "first"
    with pytest.raises(BadDataError, match=r"bars of MSFT from csv:SBUX.csv; found those of SBUX"):
        fetched("MSFT")
    assert fetched("PEP", "PEP.csv") == "first"
    assert fetched("SBUX") == "extended"
    with connect.reading(sqlite_url) as connection:
        assert read.newest_fetch(connection, "MSFT", with_bars=False) is None
    assert fetched("MSFT", accept=True) == "first"


@pytest.fixture
def yahoo(night_folder, monkeypatch):
    """Yahoo with seeded bars of SBUX and MSFT, and the VIX."""
    monkeypatch.setenv("FORECASTING_SOURCE", "yahoo")
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX")
    with asked_here(
        StandIn(random_bars(days=650, seed=3, last=LAST)), monkeypatch.setattr
    ) as served:
        served.add("MSFT", random_bars(days=650, seed=6, last=LAST))
        yield served


def live(served, monkeypatch, session, mode="skip"):
    """The night of `session`, on the morning after its close."""
    monkeypatch.setattr(clock, "now", after(session))
    served.today = session
    night(session, mode)


def expected(windows):
    return np.log(VIX["close"].loc[windows.sessions[: len(windows.steps)]].to_numpy())


def test_yahoos_vix_is_an_input_without_a_setting_and_none_leaves_it_out(yahoo, made, monkeypatch):
    live(yahoo, monkeypatch, LAST)
    np.testing.assert_allclose(made[0].market, expected(made[0]), rtol=1e-6)
    assert len(yahoo.market_charts()) == 1
    assert rows("findings", symbol="^VIX") == []
    monkeypatch.setenv("FORECASTING_MARKET", "none")
    live(yahoo, monkeypatch, LAST)
    assert not made[1].has_market
    assert len(yahoo.market_charts()) == 1


def test_a_series_that_has_a_value_before_the_open_is_stored_up_to_the_session_before(
    yahoo, made, monkeypatch
):
    session = LAST - timedelta(days=1)
    monkeypatch.setattr(clock, "now", after(session, 13.5))  # 05:30 in New York
    yahoo.add("SBUX", random_bars(days=650, seed=3, last=LAST).loc[: str(session)])
    night(session, "skip")
    assert made[0].market[-1] == np.log(VIX["close"].loc[str(session)])
    assert str(LAST) not in {
        str(row["session"])[:10] for row in rows("bars") if row["symbol"] == "^VIX"
    }
    monkeypatch.setenv("FORECASTING_SYMBOLS", "^VIX")
    monkeypatch.setenv("FORECASTING_TARGETS", "range")
    night(session, "skip")  # its own night neither takes the clock for wrong
    assert {
        row["origin_session"] for row in rows("latest_forecasts") if row["symbol"] == "^VIX"
    } == {str(session)}


@pytest.mark.parametrize("fault", ["500", "no_bars"])
def test_a_night_whose_market_series_fails_goes_on_without_it_and_says_so(
    yahoo, made, monkeypatch, tmp_path, fault
):
    yahoo.market_fault = fault
    live(yahoo, monkeypatch, LAST)
    (run,) = rows("runs")
    assert (run["status"], run["market_fetch"], made[0].has_market) == ("done", "", False)
    assert str(run["note"]).startswith(
        "Market series ^VIX: nothing of it was stored, so the night went without. "
    )
    assert {row["kind"] for row in rows("forecasts")} == {"live"}
    problems = newest_digest(read_settings(), now=clock.now).problems
    assert f"SBUX volume: note. {run['note']}" in problems
    yahoo.market_fault = None
    monkeypatch.setenv("FORECASTING_SYMBOLS", "MSFT")
    live(yahoo, monkeypatch, LAST)  # the next run, maybe a minute later, asks again
    assert made[1].has_market


def test_a_network_fitted_with_another_series_gives_way_at_once_to_a_fit_from_scratch(
    vix_file, monkeypatch
):
    night(between(LAST - timedelta(days=9), LAST)[-2])
    (VIX[["close"]] * 4.5).rename_axis("Date").to_csv(vix_file.with_name("VVIX.csv"))
    monkeypatch.setenv("FORECASTING_MARKET", f"csv:{vix_file.with_name('VVIX.csv')}")
    with pytest.raises(ArtifactError, match=r"market series \^VVIX; found one fitted with \^VIX"):
        night(LAST, "warm")
    night(LAST)
    (run,) = [row for row in rows("runs") if row["market_fetch"] and row["as_of"] == str(LAST)]
    assert (run["mode"], run["status"]) == ("scratch", "done")
    assert "found one fitted with ^VIX" in str(run["mode_reason"])
    (fitted,) = rows("models", run_id=run["id"])
    networks = [
        row
        for row in rows("forecasts")
        if row["origin_session"] == str(LAST) and row["calibration"]
    ]
    assert {(row["model_id"], row["role"], row["status"]) for row in networks} == {
        (fitted["id"], "published", "ok")
    }
    monkeypatch.setenv("FORECASTING_MARKET", "none")  # or a shell without the service's settings
    night(LAST, "skip")
    assert [row["note"] for row in rows("runs") if "the newest fit has ^VIX:" in str(row["note"])]


KO = ("KOA", "2024-04-23T10:55:00.000Z", "BMO")
MSFT = ("MSFA", "2024-04-30T20:00:00.000Z", "AMC")


@pytest.fixture
def stocks(tmp_path, sqlite_url, monkeypatch):
    """Yahoo with bars of KOA, MSFA and SPY, and a calendar with both stocks' next dates."""
    set_small_night(monkeypatch, tmp_path, sqlite_url, SOURCE="yahoo", MARKET="none")
    bars = random_bars(days=650, seed=3, last=LAST)
    with asked_here(StandIn(bars), monkeypatch.setattr) as served:
        for seed, symbol in enumerate(("KOA", "MSFA", "SPY"), start=4):
            served.add(symbol, random_bars(days=650, seed=seed, last=LAST))
        served.calendar = [KO, MSFT]
        yield served


def ingested(served, session, *symbols):
    """The error of each symbol's fetch on the morning after `session`.

    The requests before it are forgotten.
    """
    served.today = session
    served.requests.clear()
    settings = read_settings()
    nights = [Night(session, settings.for_symbol(symbol), after(session)) for symbol in symbols]
    return [night.error for night in ingest(nights)]


def dates(symbol):
    """The stored coming dates: session, known_from, known_rule, timing."""
    coming = f"events WHERE symbol = '{symbol}' AND session > '{LAST}'"
    return select("session, known_from, known_rule, timing", coming)


def test_one_calendar_has_the_next_dates_of_all_symbols(stocks):
    for session in (EVE, LAST):
        assert ingested(stocks, session, "KOA", "MSFA", "SPY") == [None] * 3
        assert len(stocks.calendar_requests()) == 1
    assert len(stocks.charts()) == 3
    assert dates("KOA") == [("2024-04-23", "2024-03-07", "seen", "bmo")]
    assert dates("MSFA") == [("2024-05-01", "2024-03-07", "seen", "amc")]
    assert dates("SPY") == []


LAST_YEAR = ["2023-04-25", "2023-07-25", "2023-10-24", "2024-02-13"]
# The report after the close of a day is of the session after it.
REACTED = ["2023-04-26", "2023-07-26", "2023-10-25", "2024-02-14"]


def past(symbol):
    """The stored past dates: session, known_from, known_rule, source."""
    before = f"events WHERE symbol = '{symbol}' AND session <= '{LAST}'"
    return select("session, known_from, known_rule, source", before)


def listed_ahead(sessions):
    """The rows of past reports, each known 21 sessions ahead."""
    return [
        (day, str(shift(date.fromisoformat(day), -21)), "21 sessions ahead", "yahoo")
        for day in sessions
    ]


def test_the_first_night_has_the_reports_of_the_year_before_and_the_next_asks_for_newer_ones(
    stocks,
):
    stocks.calendar = [KO]
    for symbol in ("KOA", "MSFA"):
        stocks.calendar += past_reports(symbol, ["2023-01-24", *LAST_YEAR])
    ingested(stocks, EVE, "KOA", "MSFA", "SPY")
    assert past("KOA") == past("MSFA") == listed_ahead(REACTED)
    assert dates("KOA") == [("2024-04-23", str(EVE), "seen", "bmo")]
    assert (dates("MSFA"), past("SPY")) == ([], [])
    settings = read_settings().for_symbol("KOA")
    _, of_backtest, _ = load_series(settings, last=EVE, now=after(EVE))
    with connect.reading(settings.url) as connection:
        stored = read.events(connection, "KOA")[["session", "known_from"]]
    pd.testing.assert_frame_equal(of_backtest[["session", "known_from"]], stored)
    stocks.calendar_spans.clear()
    ingested(stocks, LAST, "MSFA")
    # The next date of KOA is known too.
    ingested(stocks, LAST, "KOA")
    days = [(symbols, first) for symbols, first, *_ in stocks.calendar_spans]
    assert days == [(["MSFA"], "2024-02-14"), (["KOA"], str(LAST - timedelta(days=7)))]
    # What is known is not asked again, and stays.
    assert past("KOA") == past("MSFA") == listed_ahead(REACTED)
    assert len(rows("events", known_rule="withdrawn")) == 0


def test_a_ledger_that_has_the_next_date_alone_has_the_missing_year_after_its_next_night(stocks):
    ingested(stocks, EVE, "KOA")
    assert (past("KOA"), len(dates("KOA"))) == ([], 1)
    stocks.calendar += past_reports("KOA", LAST_YEAR)
    ingested(stocks, LAST, "KOA")
    assert past("KOA") == listed_ahead(REACTED)
    assert dates("KOA") == [("2024-04-23", str(EVE), "seen", "bmo")]


@pytest.mark.parametrize("fault", ["500", None])
def test_no_date_is_lost_to_a_calendar_that_fails_or_is_empty(stocks, fault):
    ingested(stocks, EVE, "KOA", "MSFA")
    before = dates("KOA"), dates("MSFA")
    stocks.calendar = []
    stocks.calendar_fault = fault
    assert ingested(stocks, LAST, "KOA", "MSFA") == [None, None]
    assert (dates("KOA"), dates("MSFA")) == before
    assert len(stocks.calendar_requests()) > 0
    assert len(rows("findings", rule="earnings_unread")) == (2 if fault else 0)
