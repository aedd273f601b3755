"""Nights through the real yfinance code, against the stand-in for Yahoo."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows import clock
from flows.start import start_night
from forecasting.errors import (
    DataLateError,
    RateLimitedError,
    SourceError,
    UnavailableError,
)
from forecasting.sessions import closes_at, next_sessions
from forecasting.settings import read_settings
from forecasting.store import connect
from forecasting.store.schema import metadata
from forecasting.vocabulary import Mode
from tests.builders import LAST, random_bars
from tests.yahoo_stand_in import StandIn, asked_here, live_bar, missing_row

pytestmark = pytest.mark.usefixtures("plain_flows")


@pytest.fixture
def yahoo(night_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Yahoo with seeded SBUX bars up to LAST, on the morning after."""
    monkeypatch.setenv("FORECASTING_SOURCE", "yahoo")
    monkeypatch.setenv("FORECASTING_SYMBOLS", "SBUX")
    with asked_here(StandIn(random_bars(days=650, seed=3, last=LAST)), monkeypatch.setattr) as served:
        set_morning_after(served, monkeypatch, LAST)
        yield served


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No market series, where a test counts the rows of one symbol's requests."""
    monkeypatch.setenv("FORECASTING_MARKET", "none")


def set_morning_after(served: StandIn, monkeypatch: pytest.MonkeyPatch, session: date) -> None:
    """Set the clock to half past five in the morning after `session`; waiting moves it."""
    set_clock(closes_at(session) + timedelta(hours=13, minutes=30), monkeypatch)
    served.today = session


_moment = [datetime(2024, 3, 9, tzinfo=UTC)]


def _now() -> datetime:
    return _moment[0]


def set_clock(moment: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock, also of a run that has begun, until something waits for a later instant."""
    _moment[0] = moment
    monkeypatch.setattr(clock, "now", _now)
    monkeypatch.setattr(clock, "wait_until", lambda later: set_clock(later, monkeypatch))


def select(columns: str, table: str) -> list[tuple[object, ...]]:
    with connect.reading(read_settings().url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(f"SELECT {columns} FROM {table}"))]


def night(mode: Mode = "auto") -> None:
    start_night(as_of=None, mode=mode, switch_source=False)


def rows_in_all() -> int:
    return sum(len(select("*", name)) for name in metadata.tables)


def test_a_morning_after_missed_nights_runs_all_of_them(yahoo: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    set_morning_after(yahoo, monkeypatch, date(2024, 3, 5))
    night()
    set_morning_after(yahoo, monkeypatch, LAST)
    night()
    kinds = {(str(origin)[:10], str(kind)) for origin, kind in select("origin_session, kind", "forecasts")}
    assert kinds == {
        ("2024-03-05", "live"),
        ("2024-03-06", "replay"),
        ("2024-03-07", "replay"),
        ("2024-03-08", "live"),
    }


def test_a_late_bar_leaves_the_verdict_and_the_gap_and_no_bar(yahoo: StandIn, alone: None) -> None:
    yahoo.edits = [missing_row(LAST)]
    with pytest.raises(DataLateError, match="2024-03-07") as late:
        night()
    assert select("verdict, detail", "fetches") == [("late", str(late.value))]
    found = select("session, rule, cleared_at", "findings")
    assert [(str(day)[:10], rule, cleared) for day, rule, cleared in found] == [("2024-03-08", "missing_session", None)]
    assert select("status, error", "runs") == [("late", str(late.value))]
    assert rows_in_all() == 3


def test_a_bar_of_the_running_session_is_not_taken_for_a_close(yahoo: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    today = next_sessions(LAST, 1)[0]
    moment = closes_at(today) - timedelta(hours=2)
    monkeypatch.setattr(clock, "now", lambda: moment)
    yahoo.today = today
    yahoo.edits = [live_bar(today)]
    night("skip")
    assert str(max(str(day) for (day,) in select("session", "bars")))[:10] == str(LAST)


@pytest.mark.parametrize(("fault", "error"), [("429", RateLimitedError), ("500", UnavailableError)])
def test_a_source_that_keeps_failing_is_named_and_leaves_only_its_verdict(
    yahoo: StandIn, alone: None, fault: str, error: type[SourceError]
) -> None:
    yahoo.fail_always(fault)
    with pytest.raises(error) as failed:
        night()
    asked = 2 if error is UnavailableError else 1  # a refusal is not retried
    assert select("verdict, detail, last_received", "fetches") == asked * [(error.verdict, str(failed.value), None)]
    assert select("status, error", "runs") == [("failed", str(failed.value))]
    assert rows_in_all() == asked + 1
