"""Only a session that has closed is an origin, and a clock that is wrong for a night takes no bar
from a later one."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import count

import pytest

from flows import clock, nightly
from flows.start import start_catch_up, start_night
from forecasting.audit.verify import verify
from forecasting.errors import ForecastingError, StoreError, UsageError
from forecasting.night.health import checked, live_states, night_checks
from forecasting.publish.messages import newest_digest
from forecasting.sessions import between, closes_at
from forecasting.settings import read_settings
from tests.builders import EVE, LAST, random_bars, set_small_night, write_yahoo_csv
from tests.nights import contents, counts, select
from tests.yahoo_stand_in import StandIn, asked_here

pytestmark = pytest.mark.slow

SESSIONS = between(date(2024, 3, 4), LAST)
FUTURE = date(2024, 3, 12)
BARS = random_bars(days=560, seed=3, last=LAST)


@pytest.fixture
def small(tmp_path, sqlite_url, plain_flows, monkeypatch):
    set_small_night(monkeypatch, tmp_path, sqlite_url)
    return tmp_path


@pytest.fixture
def yahoo(small, monkeypatch):
    monkeypatch.setenv("FORECASTING_SOURCE", "yahoo")
    with asked_here(StandIn(BARS, symbol="TEST"), monkeypatch.setattr) as served:
        yield served


def at(session, *, wrong_by=timedelta()):
    """The morning after a session, by a clock that is wrong by so much."""
    return closes_at(session) + timedelta(hours=13, minutes=30) + wrong_by


def night(monkeypatch, moment, **given):
    monkeypatch.setattr(clock, "now", lambda: moment)
    nightly.nightly(**given)


def test_a_night_by_a_clock_that_is_behind_is_not_live_and_can_be_replayed(small, monkeypatch):
    behind = timedelta(hours=-23)
    write_yahoo_csv(BARS, small / "TEST.csv")
    for wrong_by in (timedelta(), behind):
        ticks = (at(LAST, wrong_by=wrong_by) + timedelta(seconds=second) for second in count())
        monkeypatch.setattr(clock, "now", lambda ticks=ticks: next(ticks))
        nightly.nightly()
    kinds = dict(select("DISTINCT origin_session, kind", "forecasts"))
    assert kinds == {str(LAST): "live", str(EVE): "replay"}
    monkeypatch.setattr(clock, "now", lambda: at(LAST, wrong_by=timedelta(hours=1)))
    made = verify(read_settings(), first=EVE).values["TEST"]
    assert made.startswith(f"TEST volume: 2 nights, {EVE} to {LAST}: all ")


def test_the_run_after_a_clock_that_was_ahead_by_hours_is_not_live(small, monkeypatch):
    for session, wrong_by in ((SESSIONS[0], timedelta(hours=30)), (SESSIONS[1], timedelta())):
        write_yahoo_csv(BARS.loc[: str(session)], small / "TEST.csv")
        night(monkeypatch, at(session, wrong_by=wrong_by), mode="skip")
    kinds = dict(select("DISTINCT origin_session, kind", "forecasts"))
    assert kinds == {str(SESSIONS[0]): "replay", str(SESSIONS[1]): "late"}


def test_rows_of_a_clock_that_was_ahead_stop_runs_and_change_nothing(small, monkeypatch):
    for session, wrong_by in ((SESSIONS[0], timedelta()), (SESSIONS[1], timedelta(days=400))):
        write_yahoo_csv(BARS.loc[: str(session)], small / "TEST.csv")
        night(monkeypatch, at(session, wrong_by=wrong_by), mode="skip")
    settings = read_settings()
    before = contents(settings.url)
    with pytest.raises(StoreError, match="2025-04-10"):
        night(monkeypatch, at(SESSIONS[1]))
    assert contents(settings.url) == before
    (state,) = live_states(settings, now=clock.now)
    digest = newest_digest(settings, now=clock.now)
    rows = checked(night_checks(settings, now=clock.now))
    assert state.condition is not None
    assert state.condition.kind == "future"
    assert "future" in [reason.kind for reason in digest.reasons]
    assert "database" in [row.check for row in rows if row.state == "wrong"]


def test_a_clock_behind_a_live_source_is_refused_by_name_and_stores_nothing(yahoo, monkeypatch):
    yahoo.today = LAST
    with pytest.raises(
        ForecastingError,
        match=r"has one of TEST at 2024-03-08.*this machine's clock is at 2024-03-07 10:30 UTC",
    ):
        night(monkeypatch, at(SESSIONS[2]))
    assert select("count(*)", "bar_versions") == [(0,)]
    night(monkeypatch, at(LAST))
    assert {str(origin)[:10] for (origin,) in select("origin_session", "forecasts")} == {str(LAST)}


@pytest.fixture
def rows_of_the_future(small, monkeypatch):
    """A file whose last two sessions are Monday and Tuesday of next week, on the Saturday before."""
    write_yahoo_csv(random_bars(days=560, seed=3, last=FUTURE), small / "TEST.csv")
    monkeypatch.setattr(clock, "now", lambda: at(LAST))


def test_rows_of_the_future_are_neither_origin_nor_stored_until_they_have_closed(
    rows_of_the_future, monkeypatch
):
    night(monkeypatch, at(LAST))
    assert select("DISTINCT origin_session, kind, status", "forecasts") == [
        (str(LAST), "live", "ok")
    ]
    assert select("max(session)", "bar_versions") == [(str(LAST),)]
    night(monkeypatch, datetime(2024, 3, 12, 10, 30, tzinfo=UTC))
    assert select("DISTINCT origin_session", "forecasts ORDER BY 1") == [
        (str(LAST),),
        ("2024-03-11",),
    ]


REFUSED: tuple[Callable[[], object], ...] = (
    lambda: start_night(as_of=FUTURE, mode="auto", switch_source=False),
    lambda: start_catch_up(first=LAST, last=FUTURE, refit_every=5),
    lambda: nightly.nightly(first=FUTURE, last=FUTURE),
    lambda: nightly.nightly(first=LAST, last=date(2061, 3, 1)),
)


@pytest.mark.usefixtures("rows_of_the_future")
def test_a_session_that_has_not_closed_is_refused_by_name_and_changes_nothing():
    for start in REFUSED:
        with pytest.raises(
            UsageError, match=r"found 2024-03-1[12], and the newest that has closed is 2024-03-08"
        ):
            start()
        assert set(counts().values()) == {0}
