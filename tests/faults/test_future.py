"""Sessions that have not closed: whatever a file, an option or a form names, none of them is ever an origin."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from flows import catch_up, clock, nightly
from flows.start import start_catch_up, start_night
from forecasting.errors import UsageError
from forecasting.pipeline.ingest import ingest_only
from forecasting.pipeline.night import make_night
from forecasting.settings import read_settings
from forecasting.store import connect
from tests.builders import LAST, random_bars, set_small_night, write_yahoo_csv
from tests.plain_flows import without_prefect

SATURDAY = datetime(2024, 3, 9, 10, 30, tzinfo=UTC)
FUTURE = date(2024, 3, 12)


@pytest.fixture(autouse=True)
def file_with_rows_of_the_future(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """650 sessions, the last two dated Monday and Tuesday of next week, on a ledger of a small night."""
    bars = random_bars(days=650, seed=3, last=FUTURE)
    write_yahoo_csv(bars, tmp_path / "TEST.csv")
    set_small_night(monkeypatch, tmp_path, sqlite_url)
    monkeypatch.setattr(clock, "now", lambda: SATURDAY)
    without_prefect(monkeypatch.setattr)


def stored(column: str, table: str) -> list[str]:
    with connect.reading(read_settings().url) as connection:
        return sorted({str(value)[:10] for value in connection.scalars(sa.text(f"SELECT {column} FROM {table}"))})


def test_rows_of_the_future_are_neither_origin_nor_stored() -> None:
    nightly.nightly()
    assert stored("origin_session", "forecasts") == [str(LAST)]
    assert stored("max(session)", "bar_versions") == [str(LAST)]
    with connect.reading(read_settings().url) as connection:
        kinds = set(connection.scalars(sa.text("SELECT kind || ' ' || status FROM forecasts")))
    assert kinds == {"live ok"}


def test_the_night_after_sees_the_rows_that_have_closed_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    nightly.nightly()
    monkeypatch.setattr(clock, "now", lambda: datetime(2024, 3, 12, 10, 30, tzinfo=UTC))
    nightly.nightly()
    assert stored("origin_session", "forecasts") == [str(LAST), "2024-03-11"]


@pytest.mark.parametrize(
    "start",
    [
        lambda: start_night(as_of=FUTURE, mode="auto", switch_source=False),
        lambda: ingest_only(read_settings(), as_of=FUTURE, switch_source=False, now=clock.now)[0].get(),
        lambda: start_catch_up(first=LAST, last=FUTURE, refit_every=5),
        lambda: start_catch_up(first=FUTURE, last=FUTURE, refit_every=5),
        lambda: nightly.nightly(as_of=FUTURE),
        lambda: catch_up.catch_up(FUTURE, FUTURE),
        lambda: catch_up.catch_up(LAST, date(2061, 3, 1)),
    ],
)
def test_a_session_that_has_not_closed_is_refused_by_name_and_changes_nothing(start: object) -> None:
    with pytest.raises(UsageError, match=r"found 2024-03-1[12], and the newest that has closed is 2024-03-08.*clock"):
        start()  # type: ignore[operator]
    for table in ("runs", "fetches", "bar_versions", "forecasts"):
        assert stored("count(*)", table) == ["0"], table


def test_the_close_itself_makes_the_session_an_origin() -> None:
    for minute, closed in ((59, False), (0, True)):
        at = pd.Timestamp(f"2024-03-08T{20 if not closed else 21}:{minute:02d}Z").to_pydatetime()
        if closed:
            assert make_night("TEST", LAST, read_settings(), now=lambda at=at: at).session == LAST
        else:
            with pytest.raises(UsageError, match="has closed"):
                make_night("TEST", LAST, read_settings(), now=lambda at=at: at)
