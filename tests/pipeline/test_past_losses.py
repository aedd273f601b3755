from __future__ import annotations

from datetime import date

import pytest
from pydantic import SecretStr

from flows import clock
from forecasting.pipeline.night import make_night
from forecasting.pipeline.snapshot import past_losses
from forecasting.settings import Settings
from forecasting.store import write
from forecasting.store.connect import reading, transaction
from tests.store.rows import SYMBOL, at, forecast_row, score_row, start, store_bars

ORIGINS = ("2024-03-06", "2024-03-07")
SCORED = [
    ("2024-03-06", 1, "first_print", 1, 5.0),  # of the 7th's bar, by the night of the 7th
    ("2024-03-06", 1, "settled", 1, 4.0),  # by the night of the 8th, whose fetch confirmed it
    ("2024-03-06", 2, "first_print", 1, 3.0),  # of the 8th's bar
    ("2024-03-07", 1, "first_print", 1, 2.0),
]


def losses(url: str, session: str) -> list[tuple[str, int, float]]:
    """Origin, horizon and loss that the night of a session decides on."""
    settings = Settings(database_url=SecretStr(url))
    night = make_night(SYMBOL, date.fromisoformat(session), settings, now=clock.now)
    with reading(url) as connection:
        found = past_losses(connection, night, origins=10)
    return [(f"{row.origin_session:%Y-%m-%d}", row.horizon, row.pinball) for row in found.itertuples()]


@pytest.fixture
def scored(database_url: str) -> str:
    """Two nights, each scored against all that was stored by the evening of the 8th: as where they are made up for."""
    forecasts = [forecast_row("lstm", origin, horizon) for origin in ORIGINS for horizon in (1, 2)]
    known = {origin: {"data_as_of": at(f"{origin}T21:30")} for origin in ORIGINS}
    rows = [row | known[str(row["origin_session"])] for row in forecasts]
    of = {(str(row["origin_session"]), row["horizon"]): row for row in rows}
    with transaction(database_url) as connection:
        start(connection, origins=ORIGINS)
        store_bars(connection, {"2024-03-07": 100.0}, seen="2024-03-07T21:30")
        store_bars(connection, {"2024-03-08": 100.0}, seen="2024-03-08T21:30", settled=("2024-03-07",))
        write.add_forecasts(connection, rows)
        write.add_scores(
            connection,
            [
                score_row(of[origin, horizon], stage=stage, bar_version=bar, pinball=loss)
                for origin, horizon, stage, bar, loss in SCORED
            ],
        )
    return database_url


def test_a_night_decides_on_what_the_night_before_could_score_though_more_is_stored(scored: str) -> None:
    assert losses(scored, "2024-03-08") == [("2024-03-06", 1, 5.0)]


def test_the_night_after_the_newest_forecast_sees_no_more_however_late_it_is(scored: str) -> None:
    assert losses(scored, "2024-03-12") == [("2024-03-06", 1, 5.0)]


@pytest.mark.parametrize("session", ["2024-03-06", "2024-03-07"])
def test_the_first_nights_have_no_evidence(scored: str, session: str) -> None:
    assert losses(scored, session) == []
