from __future__ import annotations

from datetime import date

import pandas as pd

from forecasting.ingest.earnings import announced_events
from forecasting.store import read, write
from forecasting.store.connect import transaction
from tests.store.rows import SYMBOL, at

OLD, NEW = date(2024, 5, 1), date(2024, 5, 8)


def seen(session: date, known_from: str, rule: str = "seen") -> pd.DataFrame:
    """An announcement of the evening before `session`."""
    stamp = pd.Timestamp(session)
    row = {"session": stamp, "kind": "earnings", "known_from": pd.Timestamp(known_from), "known_rule": rule}
    return pd.DataFrame([row | {"announced": stamp - pd.Timedelta(days=1), "timing": "amc"}])


def announced(connection, *, source: str, after: date) -> pd.DataFrame:
    return announced_events(read.event_rows(connection, SYMBOL), sources=[source], after=after)


def dates(connection, known_at=None) -> list[tuple[str, str, str]]:
    frame = read.events(connection, SYMBOL, known_at=at(known_at) if known_at else None)
    return [tuple(str(value)[:10] for value in row) for row in frame.drop(columns="kind").to_numpy()]


def test_a_withdrawn_event_is_valid_for_earlier_origins_and_as_of_earlier_instants(database_url):
    rows = [
        (seen(OLD, "2024-04-01"), "2024-04-02T10:30"),
        (seen(NEW, "2024-04-12"), "2024-04-13T10:30"),
        (seen(OLD, "2024-04-12", "withdrawn"), "2024-04-13T10:30"),
    ]
    with transaction(database_url) as connection:
        for _ in range(2):  # a night run again adds nothing
            added = [
                write.add_events(connection, SYMBOL, row, source="yahoo", first_seen_at=at(when)) for row, when in rows
            ]
            assert announced(connection, source="yahoo", after=date(2024, 4, 12))["session"].tolist() == [
                pd.Timestamp(NEW)
            ]
            rows = rows[1:]
        assert added == [0, 0]
        assert dates(connection) == [
            ("2024-05-01", "2024-04-01", "2024-04-12"),
            ("2024-05-08", "2024-04-12", "NaT"),
        ]
        assert dates(connection, "2024-04-10T10:30") == [("2024-05-01", "2024-04-01", "NaT")]


def test_a_date_announced_again_after_its_withdrawal_has_two_intervals(database_url):
    with transaction(database_url) as connection:
        for row, when in (
            (seen(OLD, "2024-04-01"), "2024-04-02T10:30"),
            (seen(OLD, "2024-04-12", "withdrawn"), "2024-04-13T10:30"),
            (seen(OLD, "2024-04-18"), "2024-04-19T10:30"),
        ):
            assert write.add_events(connection, SYMBOL, row, source="yahoo", first_seen_at=at(when)) == 1
        assert dates(connection) == [
            ("2024-05-01", "2024-04-01", "2024-04-12"),
            ("2024-05-01", "2024-04-18", "NaT"),
        ]
        assert len(announced(connection, source="yahoo", after=date(2024, 4, 18))) == 1
        assert announced(connection, source="csv", after=date(2024, 4, 18)).empty
