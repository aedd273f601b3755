"""Thirty nights through the stand-in for Yahoo, the machine off for ten of them: thirty origins, ten marked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from flows import clock, nightly
from forecasting.sessions import between, closes_at, shift
from forecasting.settings import read_settings
from forecasting.store import connect
from tests.builders import LAST, random_bars, set_small_night
from tests.plain_flows import without_prefect
from tests.yahoo_stand_in import StandIn, asked_here

SESSIONS = between(shift(LAST, -29), LAST)
OFF = {SESSIONS[place] for place in (4, 5, 6, 11, 17, 18, 19, 20, 26)}
"""Nine mornings on which nothing runs."""

SLEPT_IN = SESSIONS[23]
"""One on which the machine comes up after the exchange has opened."""


@pytest.fixture
def yahoo(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    set_small_night(monkeypatch, tmp_path, sqlite_url, train_sessions=300, SOURCE="yahoo", SYMBOLS="SBUX")
    without_prefect(monkeypatch.setattr)
    with asked_here(StandIn(random_bars(days=600, seed=3, last=LAST)), monkeypatch.setattr) as served:
        yield served


def live(yahoo: StandIn, monkeypatch: pytest.MonkeyPatch, *, off: set[date], slept_in: date | None) -> None:
    for session in SESSIONS:
        hours = 18.0 if session == slept_in else 13.5
        moment = closes_at(session) + timedelta(hours=hours)
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        yahoo.today = session
        if session not in off:
            nightly.nightly()


def select(columns: str, rest: str) -> list[tuple[str, ...]]:
    """Rows as text, sorted; floats keep every digit."""
    with connect.reading(read_settings().url) as connection:
        return sorted(tuple(map(repr, row)) for row in connection.execute(sa.text(f"SELECT {columns} FROM {rest}")))


QUANTILES = "q05, q10, q25, q50, q75, q90, q95"
SAME = {
    "forecasts": f"model_id, origin_session, horizon, target_session, role, status, {QUANTILES}, calibration, run_id",
    "scores": "model_id, origin_session, horizon, stage, bar_version, actual, error, pinball, inside_80, inside_90",
    "promotions": "session, champion, challenger, winner, origins, reason",
    "models": "id, method, parent_id, trained_from, trained_to, epochs, chain_epochs",
    "bar_versions": "session, version, open, high, low, close, volume",
}


@pytest.mark.campaign
def test_thirty_nights_with_ten_missed_have_thirty_origins_ten_marked_and_otherwise_the_same_tables(
    yahoo: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    live(yahoo, monkeypatch, off=OFF, slept_in=SLEPT_IN)
    kinds = {date.fromisoformat(day[1:11]): kind for day, kind in select("origin_session, kind", "forecasts")}
    assert sorted(kinds) == SESSIONS
    marked = {day: kind.strip("'") for day, kind in kinds.items() if kind != "'live'"}
    assert marked == dict.fromkeys(OFF, "replay") | {SLEPT_IN: "late"}
    assert len(marked) == 10
    runs = select("as_of, status", "runs")
    assert [status for _, status in runs] == ["'done'"] * len(SESSIONS)
    # No forecast rests on bars fetched before its origin had closed, nor on any after its own session.
    held = select(
        "f.origin_session, MAX(t.last_received)", "forecasts f JOIN fetches t ON t.id = f.fetch_id GROUP BY 1"
    )
    assert all(origin[:11] <= newest[:11] for origin, newest in held)
    found = {name: select(columns, name) for name, columns in SAME.items()}
    with connect.transaction(read_settings().url) as connection:
        for name in ("scores", "forecasts", "promotions", "models", "findings", "events", "bar_versions", "runs"):
            connection.execute(sa.text(f"DELETE FROM {name}"))
        for name in ("corporate_actions", "metrics", "fetches"):
            connection.execute(sa.text(f"DELETE FROM {name}"))
    monkeypatch.setenv("FORECASTING_DATA_DIR", str(tmp_path / "never-off"))
    live(yahoo, monkeypatch, off=set(), slept_in=None)
    assert {kind for (kind,) in select("kind", "forecasts")} == {"'live'"}
    for name, columns in SAME.items():
        assert select(columns, name) == found[name], name
