from __future__ import annotations

from datetime import date

import pandas as pd

from forecasting.store import read, write
from forecasting.store.connect import reading, transaction
from tests.store.rows import SYMBOL, at, forecast_row, start, store_bars, view_rows

NAMES = ("session", "kind", "day", "ahead")
FIRST, MOVED = date(2024, 4, 30), date(2024, 5, 1)


def announcement(session: date, known_rule: str = "seen") -> pd.DataFrame:
    row = {"session": pd.Timestamp(session), "kind": "earnings", "known_from": pd.Timestamp("2024-03-01")}
    row |= {"announced": pd.Timestamp("2024-04-30"), "timing": "amc" if session == MOVED else "bmo"}
    return pd.DataFrame([row | {"known_rule": known_rule}])


def test_calendar_days_are_those_of_published_forecasts_once_and_ahead_of_the_newest_bar(database_url):
    with transaction(database_url) as connection:
        start(connection, origins=("2024-03-13", "2024-03-14"), models=("lstm", "ridge"))
        store_bars(connection, {"2024-03-15": 100.0}, seen="2024-03-15T21:00")
        expiry, day_after = {"calendar": "triple witching"}, {"calendar": "after a holiday"}
        write.add_forecasts(
            connection,
            [
                forecast_row("lstm", "2024-03-13", 2, **expiry),
                forecast_row("lstm", "2024-03-14", 1, **expiry),
                forecast_row("lstm", "2024-03-14", 2, **day_after),
                forecast_row("lstm", "2024-03-14", 3),
                forecast_row("ridge", "2024-03-14", 4, role="baseline", calendar="half day"),
            ],
        )
    assert view_rows(database_url, "special_days", *NAMES) == [
        (pd.Timestamp("2024-03-15"), "calendar", "triple witching", False),
        (pd.Timestamp("2024-03-18"), "calendar", "after a holiday", True),
    ]


def sessions_of_both(url: str) -> tuple[list[pd.Timestamp], list[pd.Timestamp]]:
    """Those of the view, and those that a night has: valid ones of read.events."""
    with reading(url) as connection:
        events = read.events(connection, SYMBOL)
    return [row[0] for row in view_rows(url, "special_days", "session")], events.loc[
        events["withdrawn_from"].isna(), "session"
    ].tolist()


def test_earnings_are_those_that_a_night_has(database_url):
    steps = [
        (announcement(FIRST), "2024-03-01T21:00", [FIRST]),
        (announcement(MOVED), "2024-03-02T21:00", [MOVED]),  # the same announcement under another session
        (announcement(MOVED, "withdrawn"), "2024-03-03T21:00", [FIRST]),
        (announcement(MOVED, "seen"), "2024-03-04T21:00", [MOVED]),
        (announcement(FIRST, "withdrawn"), "2024-03-05T21:00", [MOVED]),
    ]
    for frame, seen, expected in steps:
        with transaction(database_url) as connection:
            write.add_events(connection, SYMBOL, frame, source="yahoo", first_seen_at=at(seen))
        days = [pd.Timestamp(day) for day in expected]
        assert sessions_of_both(database_url) == (days, days), seen
    assert view_rows(database_url, "special_days", *NAMES) == [
        (pd.Timestamp(MOVED), "earnings", "earnings after the close before", False)
    ]
