"""Frames of the ledger: columns and types of each, filled and empty, on both databases; bars as a night had them."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from forecasting.errors import StoreError, UsageError
from forecasting.pipeline import ledger_frames
from forecasting.pipeline.ledger_frames import BARS_COLUMNS, HISTORY_COLUMNS, LATEST_COLUMNS, SKILL_COLUMNS
from forecasting.settings import Settings
from forecasting.store import read, write
from forecasting.store.connect import reading, transaction
from tests.store.rows import SYMBOL, TARGET, forecast_row, score_row, start, store_bars

FRAMES = {
    "latest": (ledger_frames.latest, LATEST_COLUMNS),
    "history": (ledger_frames.history, HISTORY_COLUMNS),
    "skill": (ledger_frames.skill, SKILL_COLUMNS),
    "bars": (ledger_frames.bars, BARS_COLUMNS),
}
VIEWS = {"latest": "latest_forecasts", "history": "forecast_vs_actual", "skill": "live_skill", "bars": "bars"}
ORIGINS = ("2024-03-07", "2024-03-08")


def settings_of(url: str, *symbols: str) -> Settings:
    return Settings(database_url=url, symbols=symbols or (SYMBOL,))


def fill(url: str) -> None:
    """Two nights of the network and of a baseline, the first of them scored."""
    forecasts = [
        forecast_row(model, origin, horizon, role=role)
        for origin in ORIGINS
        for horizon in (1, 2)
        for model, role in (("lstm", "champion"), ("ridge", "baseline"))
    ]
    with transaction(url) as connection:
        start(connection, origins=ORIGINS, models=("lstm", "ridge"))
        write.add_forecasts(connection, forecasts)
        write.add_scores(connection, [score_row(row) for row in forecasts[:4]])


def test_each_frame_has_the_same_columns_and_types_with_rows_and_without(database_url: str) -> None:
    empty = {name: read_frame(settings_of(database_url)) for name, (read_frame, _) in FRAMES.items()}
    fill(database_url)
    for name, (read_frame, columns) in FRAMES.items():
        filled = read_frame(settings_of(database_url))
        assert len(filled) > 0, name
        assert tuple(filled.columns) == tuple(empty[name].columns) == columns, name
        assert filled.dtypes.tolist() == empty[name].dtypes.tolist(), name


def test_each_frame_has_columns_of_its_view(sqlite_url: str) -> None:
    fill(sqlite_url)
    with reading(sqlite_url) as connection:
        for name, (_, columns) in FRAMES.items():
            target = None if name == "bars" else TARGET
            of_view = set(read.view(connection, VIEWS[name], SYMBOL, target))
            assert of_view - set(columns) == ({"first_seen_at"} if name == "bars" else set()), name
            assert set(columns) <= of_view, name


def test_latest_is_the_newest_origin_and_history_has_every_forecast(sqlite_url: str) -> None:
    fill(sqlite_url)
    newest, history = ledger_frames.latest(settings_of(sqlite_url)), ledger_frames.history(settings_of(sqlite_url))
    assert newest["origin_session"].unique().tolist() == [pd.Timestamp("2024-03-08")]
    assert newest["horizon"].tolist() == [1, 2]
    assert len(history) == 8
    assert history["actual"].notna().sum() == 4
    assert str(history["issued_at"].iloc[0]) == "2024-03-07 22:00:00+00:00"


def test_a_symbol_without_rows_does_not_change_the_types_of_the_others(sqlite_url: str) -> None:
    fill(sqlite_url)
    both = ledger_frames.history(settings_of(sqlite_url, "AAPL", SYMBOL))
    pd.testing.assert_frame_equal(both, ledger_frames.history(settings_of(sqlite_url)))


def test_bars_as_of_a_session_are_those_that_its_night_had(sqlite_url: str) -> None:
    with transaction(sqlite_url) as connection:
        store_bars(connection, {"2024-03-06": 100.0, "2024-03-07": 200.0}, seen="2024-03-07T22:00")
        store_bars(connection, {"2024-03-07": 250.0}, seen="2024-03-08T22:00", version=2, settled=("2024-03-06",))
        store_bars(connection, {"2024-03-08": float("nan")}, seen="2024-03-08T22:30")
    asked = settings_of(sqlite_url)
    assert ledger_frames.bars(asked, as_of=date(2024, 3, 7))[["volume", "version"]].to_numpy().tolist() == [
        [100, 1],
        [200, 1],
    ]
    now = ledger_frames.bars(asked)
    assert now["volume"].fillna(-1).tolist() == [100, 250, -1]
    assert now["settled"].tolist() == [True, False, False]


@pytest.mark.parametrize(("day", "error"), [(date(2024, 3, 9), UsageError), (date(2024, 3, 11), StoreError)])
def test_bars_as_of_a_day_without_a_session_or_a_fetch_are_refused(
    sqlite_url: str, day: date, error: type[Exception]
) -> None:
    fill(sqlite_url)
    with pytest.raises(error, match=str(day)):
        ledger_frames.bars(settings_of(sqlite_url), as_of=day)


def test_a_database_that_is_not_there_is_not_made(empty_sqlite_url: str) -> None:
    with pytest.raises(StoreError):
        ledger_frames.latest(settings_of(empty_sqlite_url))
