import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from unittest import mock

import pytest
import sqlalchemy as sa

from flows import clock, nightly
from forecasting.errors import ForecastingError, UsageError
from forecasting.pipeline import export, models
from forecasting.pipeline.replay import replay
from forecasting.pipeline.run import ingest_only
from forecasting.predict import combine
from forecasting.sessions import between, closes_at
from forecasting.settings import read_settings
from forecasting.store import connect
from tests.builders import LAST, random_bars, set_small_night
from tests.faults.world import early_evidence
from tests.nights import copy_nights
from tests.plain_flows import without_prefect
from tests.yahoo_stand_in import StandIn, asked_here, scaled

SESSIONS = between(date(2024, 2, 22), LAST)
EARLY, FIRST, SECOND, THIRD = SESSIONS[0], *SESSIONS[2:5]


@contextmanager
def small_nights(folder: Path, url: str, patch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Yahoo for a small night on this database; calibration needs three origins, drift and fallback a handful."""
    yahoo_night = {"SOURCE": "yahoo", "SYMBOLS": "MSFT", "SCRATCH_EVERY": "5"}
    set_small_night(patch, folder, url, train_sessions=300, **yahoo_night)
    without_prefect(patch.setattr)
    served = StandIn(random_bars(days=560, seed=4, last=LAST), symbol="MSFT")
    soon = mock.patch.object(combine, "MIN_FORECASTS", 3)
    with early_evidence(), soon, asked_here(served, patch.setattr):
        yield served


@pytest.fixture
def yahoo(tmp_path, sqlite_url, monkeypatch):
    with small_nights(tmp_path, sqlite_url, monkeypatch) as served:
        yield served


def live(yahoo: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nights with all that may happen between them: a restated bar, an earnings date, a champion named by hand."""
    for place, session in enumerate(SESSIONS):
        moment = closes_at(session) + timedelta(hours=13, minutes=30)
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        yahoo.today = session
        yahoo.edits = [scaled(1.4, SESSIONS[2], column="volume")] if place >= 5 else []
        yahoo.earnings = ["March 12, 2024 at 4 PM EDT"] if place >= 6 else []
        if place != 4:  # the machine was off
            nightly.nightly()
        if place == 7:
            networks, _ = models.list_models(read_settings(), now=clock.now)
            by_age = sorted(networks, key=lambda row: str(row["trained_to"]))
            models.promote(by_age[-2]["id"], read_settings(), now=clock.now)


@pytest.mark.slow
def test_every_night_lived_through_comes_out_again_to_the_bit(yahoo, monkeypatch, tmp_path):
    live(yahoo, monkeypatch)
    asked = len(yahoo.requests)
    with connect.reading(read_settings().url) as connection:
        issued = connection.execute(sa.text("SELECT kind, past_forecasts, calibration, status FROM forecasts")).all()
        winners = list(connection.scalars(sa.text("SELECT winner FROM promotions")))
        methods = set(connection.scalars(sa.text("SELECT method FROM models")))
    assert {row[0] for row in issued} == {"live", "replay"}
    assert max(row[1] for row in issued) >= 3
    assert {row[3] for row in issued} == {"ok", "fallback"}
    assert len(set(winners)) >= 2
    assert methods == {"scratch", "warm", "baseline"}
    moment = closes_at(LAST) + timedelta(days=30)
    monkeypatch.setattr(clock, "now", lambda: moment)
    words = replay(read_settings(), now=clock.now)
    assert words.startswith(f"MSFT: {len(SESSIONS)} nights, {SESSIONS[0]} to {LAST}: all {len(issued)} forecasts")
    assert len(yahoo.requests) == asked  # the source was not asked
    assert read_settings().data_dir == tmp_path / "data"  # and this process is where it was
    assert _scores(read_settings().url) == _scores(f"sqlite:///{tmp_path / 'data' / 'replay' / 'forecasting.db'}")
    _replay_from_the_middle(SESSIONS[10], len(issued))
    touched = f"origin_session = '{LAST}' AND horizon = 1 AND role = 'champion'"
    with connect.transaction(read_settings().url) as connection:
        connection.execute(sa.text(f"UPDATE forecasts SET q95 = q95 * 1.0000000001 WHERE {touched}"))
    with pytest.raises(ForecastingError, match=f"the first at the origin {LAST}, horizon 1"):
        replay(read_settings(), now=clock.now, first=LAST)


def _replay_from_the_middle(first: date, issued: int) -> None:
    """Nights that other code made are copied as they are, with the weights that the next one begins with."""
    settings = read_settings()
    with connect.transaction(settings.url) as connection:
        connection.execute(sa.text(f"UPDATE runs SET code_version = '0.1.0+0a1b2c3' WHERE as_of < '{first}'"))
        early = f"origin_session < '{first}' AND role = 'baseline'"
        connection.execute(sa.text(f"UPDATE forecasts SET q05 = q05 * 0.9 WHERE {early}"))
        copied = connection.scalar(sa.text(f"SELECT count(*) FROM forecasts WHERE origin_session < '{first}'"))
    with pytest.raises(
        ForecastingError, match=rf"10 of the nights, up to .* by 0\.1\.0\+0a1b2c3; .*--from {first} replays"
    ):
        replay(settings, now=clock.now)
    count = len(SESSIONS) - 10
    words = replay(settings, now=clock.now, first=first)
    assert words.startswith(f"MSFT: {count} nights, {first} to {LAST}: all {issued - copied} forecasts the same")
    scratch = f"sqlite:///{settings.data_dir / 'replay' / 'forecasting.db'}"
    with connect.reading(settings.url) as connection:
        networks = set(connection.scalars(sa.text("SELECT id FROM models WHERE method != 'baseline'")))
        winner = connection.scalar(
            sa.text(f"SELECT winner FROM promotions WHERE session < '{first}' ORDER BY session DESC, decided_at DESC")
        )
    ours, theirs = ([row for row in _scores(url) if row[4] in networks] for url in (settings.url, scratch))
    assert ours == theirs
    shutil.move(settings.data_dir / "artifacts" / winner, settings.data_dir / "moved")
    with pytest.raises(UsageError, match=f"from {first} on begins with the champion of that day, model {winner}"):
        replay(settings, now=clock.now, first=first)
    shutil.move(settings.data_dir / "moved", settings.data_dir / "artifacts" / winner)


def _scores(url: str) -> list[tuple[object, ...]]:
    columns = "symbol, target, horizon, origin_session, model_id, stage, bar_version, actual, error, pinball, inside_80"
    with connect.reading(url) as connection:
        rows = connection.execute(sa.text(f"SELECT {columns} FROM scores"))
        return sorted((*row[:3], str(row[3])[:10], *row[4:10], bool(row[10])) for row in rows)


@pytest.fixture(scope="module")
def folder_of_four(tmp_path_factory, migrated_sqlite_file):
    """What four nights leave: bars were fetched again before the open, and a past session was run after the second."""
    folder = tmp_path_factory.mktemp("four")
    ledger = shutil.copy(migrated_sqlite_file, folder / "ledger.db")
    with pytest.MonkeyPatch.context() as patch, small_nights(folder, f"sqlite:///{ledger}", patch) as yahoo:

        def at(session: date, hours: float) -> None:
            moment = closes_at(session) + timedelta(hours=hours)
            patch.setattr(clock, "now", lambda: moment)
            yahoo.today = session

        at(FIRST, 13.5)
        yahoo.edits = [scaled(0.9, FIRST, column="volume")]
        nightly.nightly()
        at(FIRST, 16)  # the exchange opens half an hour later
        yahoo.edits = []
        ingest_only(read_settings(), as_of=None, switch_source=False, now=clock.now)
        at(SECOND, 13.5)
        nightly.nightly()
        at(SECOND, 14)
        nightly.nightly(as_of=EARLY)
        at(THIRD, 13.5)
        nightly.nightly()
    return folder


@pytest.fixture
def four(yahoo, folder_of_four, tmp_path, sqlite_url, monkeypatch):
    """The four nights are done, on the morning after the third."""
    copy_nights(folder_of_four, tmp_path / "data", sqlite_url)
    moment = closes_at(THIRD) + timedelta(hours=13, minutes=30)
    monkeypatch.setattr(clock, "now", lambda: moment)


@pytest.mark.usefixtures("four")
def test_nights_come_out_again_after_a_later_fetch_before_the_open_and_a_past_session_that_was_run_later():
    settings = read_settings()
    words = replay(settings, now=clock.now)
    assert words.startswith(f"MSFT: 4 nights, {EARLY} to {THIRD}: all ")
    with connect.reading(settings.url) as connection:
        used = connection.scalar(sa.text(f"SELECT last_value FROM forecasts WHERE origin_session = '{FIRST}'"))
    volumes = export.bars(settings, as_of=FIRST)["volume"]
    assert volumes.iloc[-1] == used
    assert export.bars(settings)["volume"].iloc[-3] == pytest.approx(used / 0.9, abs=1)


def test_without_a_finished_night_there_is_nothing_to_replay(yahoo):
    with pytest.raises(UsageError, match="nothing to replay"):
        replay(read_settings(), now=clock.now)
