"""A run does what can be done and ends; the next one finds what is left.

What was late, refused, or cut off.
"""

from datetime import timedelta

import pytest

from flows import clock
from forecasting.errors import (
    DataLateError,
    ForecastingError,
    RateLimitedError,
    UnavailableError,
)
from forecasting.night.steps import ingest
from forecasting.publish import runs
from forecasting.publish.messages import check_fresh, newest_digest
from forecasting.report.words import notices
from forecasting.sessions import closes_at, shift
from forecasting.settings import read_settings
from tests.builders import EVE, LAST, random_bars
from tests.nights import newest_reports, select
from tests.yahoo_stand_in import StandIn, asked_here, missing_row, null_volume

pytestmark = pytest.mark.usefixtures("plain_flows")

BEFORE = EVE - timedelta(days=1)
MONDAY = LAST + timedelta(days=3)


@pytest.fixture
def yahoo(night_folder, monkeypatch):
    """Yahoo with seeded SBUX bars; there is no market series."""
    for name, value in {"SOURCE": "yahoo", "SYMBOLS": "SBUX", "MARKET": "none"}.items():
        monkeypatch.setenv(f"FORECASTING_{name}", value)
    stand_in = StandIn(random_bars(days=650, seed=3, last=MONDAY))
    with asked_here(stand_in, monkeypatch.setattr) as served:
        yield served


@pytest.fixture
def run(yahoo, monkeypatch):
    """What runs the missed nights on the morning after a session, so many hours after its close."""

    def run_at(session, hours=13.5):
        at = closes_at(session) + timedelta(hours=hours)
        monkeypatch.setattr(clock, "now", lambda: at)
        yahoo.today = session
        return runs.run_missed(read_settings(), as_of=None, mode="skip", now=clock.now)

    return run_at


def statuses():
    return select("as_of, status", "runs ORDER BY as_of, target")


def titles():
    return list(notices(newest_reports(read_settings())[0].conditions))


def test_a_late_bar_ends_the_run_and_the_next_one_makes_its_night_live(yahoo, run):
    run(EVE)
    yahoo.edits = [missing_row(LAST)]
    with pytest.raises(DataLateError, match="no usable bar for the session 2024-03-08 yet"):
        run(LAST)
    assert statuses() == [(str(EVE), "done"), (str(LAST), "late")]
    assert "Stale" in titles()
    yahoo.edits = []
    run(LAST, 14.5)
    assert statuses() == [(str(EVE), "done"), (str(LAST), "done")]
    assert select("error, note", f"runs WHERE as_of = '{LAST}'") == [(None, "")]
    assert select("DISTINCT kind", f"forecasts WHERE origin_session = '{LAST}'") == [("live",)]


def test_nights_whose_bars_are_there_are_done_though_the_newest_bar_is_late(yahoo, run):
    run(BEFORE)
    yahoo.edits = [missing_row(LAST)]
    with pytest.raises(DataLateError):
        run(LAST)
    assert statuses() == [(str(BEFORE), "done"), (str(EVE), "done"), (str(LAST), "late")]


def test_a_volume_that_is_missing_leaves_the_night_of_a_range_done(yahoo, run, monkeypatch):
    yahoo.edits = [null_volume(LAST)]
    monkeypatch.setenv("FORECASTING_TARGETS", "range")
    run(LAST)
    monkeypatch.setenv("FORECASTING_TARGETS", "volume")
    with pytest.raises(DataLateError, match="came without its volume"):
        run(LAST)
    yahoo.edits = []
    run(LAST, 14.5)
    assert select("target, status", "runs ORDER BY target") == [
        ("range", "done"),
        ("volume", "done"),
    ]


def test_a_source_that_does_not_respond_is_requested_once_more_at_once(yahoo, run):
    yahoo.fail("500", "500")  # yfinance itself requests twice
    run(LAST)
    assert select("verdict", "fetches ORDER BY fetched_at") == [("unavailable",), ("first",)]
    yahoo.fail_always("500")
    with pytest.raises(UnavailableError):
        run(MONDAY)


def test_after_a_rate_limit_no_run_requests_anything_until_the_stated_instant(yahoo, run):
    run(EVE)
    yahoo.fail_always("429")
    with pytest.raises(RateLimitedError, match="HTTP 429"):
        run(LAST)
    requested = len(yahoo.requests)
    yahoo.fail()
    with pytest.raises(RateLimitedError, match="left alone until 2024-03-09 11:00 UTC"):
        run(LAST, 13.9)
    assert len(yahoo.requests) == requested
    assert statuses()[-1] == (str(LAST), "failed")
    run(LAST, 14.0)
    assert statuses()[-1] == (str(LAST), "done")


def test_a_night_whose_bar_was_stored_before_needs_no_response(yahoo, run, monkeypatch):
    from forecasting.night.steps import predict

    with monkeypatch.context() as patch:
        patch.setattr(predict, "write_forecasts", None)
        patch.setattr("forecasting.night.run.write_forecasts", None)
        with pytest.raises(Exception, match="callable"):
            run(LAST)
    yahoo.fail_always("500")
    run(LAST, 14.5)
    assert statuses() == [(str(LAST), "done")]


def test_a_session_whose_bar_never_came_while_a_later_one_did_is_no_session(yahoo, run):
    run(BEFORE)
    yahoo.edits = [missing_row(EVE)]
    with pytest.raises(DataLateError):
        run(EVE)
    run(LAST)
    assert statuses() == [(str(BEFORE), "done"), (str(EVE), "closed"), (str(LAST), "done")]
    assert "Stale" not in titles()
    yahoo.edits = []  # it comes after all
    run(MONDAY)
    assert [status for _, status in statuses()] == ["done", "closed", "done", "done"]


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_symbol_whose_bars_have_ended_is_a_note_of_check_and_all_else_stays_green(
    yahoo, run, night_folder, monkeypatch, is_listed
):
    monkeypatch.setattr(ingest, "ENDED_SESSIONS", 3)
    bars, _ = yahoo.series["SBUX"]
    newest = shift(LAST, -3)
    run(newest)
    if is_listed:
        yahoo.add("SBUX", bars.loc[: str(newest)])
    else:
        del yahoo.series["SBUX"]
    yahoo.add("MSFT", random_bars(days=650, seed=5, last=MONDAY))
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX,MSFT")
    with pytest.raises(ForecastingError, match="SBUX"):
        run(EVE)
    run(LAST)
    of_sbux = [status for (status,) in select("status", "runs WHERE symbol = 'SBUX'")]
    assert sorted(of_sbux) == ["closed"] * 3 + ["done"]
    fresh, note = check_fresh(now=clock.now).split(" Note on ")
    assert "SBUX" not in fresh
    assert note.startswith("SBUX: no bars. ")
    assert "SBUX" not in " ".join(newest_digest(read_settings(), now=clock.now).problems)
    index = (night_folder / "reports" / "index.html").read_text()
    assert ("MSFT" in index, "SBUX" in index) == (True, False)
    yahoo.add("SBUX", bars)  # It trades again
    run(MONDAY)
    assert select("max(as_of)", "runs WHERE symbol = 'SBUX' AND status = 'done'") == [
        (str(MONDAY),)
    ]
    assert "Note" not in check_fresh(now=clock.now)
