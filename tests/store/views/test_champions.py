from __future__ import annotations

import pandas as pd
import pytest

from forecasting.store import write
from forecasting.store.connect import transaction
from tests.store.rows import SYMBOL, TARGET, at, model_row, view_rows

NAMES = ("from_session", "to_session", "model_id", "method", "replaced", "why", "trigger")


def promotion(session: str, challenger: str, winner: str, *, champion: str | None, **changed: object) -> dict:
    row = {"id": session, "symbol": SYMBOL, "target": TARGET, "session": pd.Timestamp(session), "origins": 60}
    row |= {"champion": champion, "challenger": challenger, "winner": winner, "reason": f"{winner} on {session}"}
    return row | {"trigger": "night", "decided_at": at(f"{session}T22:00")} | changed


@pytest.fixture
def decided(database_url: str) -> str:
    """Decisions of five nights, the newest made first, as when a span is caught up afterwards."""
    rows = [
        promotion("2024-03-08", "d", "b", champion="b", id="x", trigger="rollback", decided_at=at("2024-03-09T01:00")),
        promotion("2024-03-08", "d", "d", champion="b"),
        promotion("2024-03-05", "b", "a", champion="a"),
        promotion("2024-03-04", "a", "a", champion=None),
        promotion("2024-03-06", "b", "b", champion="a", decided_at=at("2024-03-20T01:00")),
        promotion("2024-03-07", "c", "b", champion="b"),
    ]
    with transaction(database_url) as connection:
        for id in "abcd":
            write.add(connection, "models", model_row(id, method="warm" if id > "a" else "scratch"))
        for row in rows:
            write.add(connection, "promotions", row)
    return database_url


def test_champions_has_a_row_for_each_change_in_the_order_of_the_sessions(decided: str):
    first, second, third = (pd.Timestamp(f"2024-03-0{day}") for day in (4, 6, 8))
    in_order = ("from_session", "decided_at")
    found = view_rows(decided, "champions", *NAMES, by=in_order)
    assert found == [
        (first, second, "a", "scratch", None, "a on 2024-03-04", "night"),
        (second, third, "b", "warm", "a", "b on 2024-03-06", "night"),
        (third, third, "d", "warm", "b", "d on 2024-03-08", "night"),
        (third, None, "b", "warm", "d", "b on 2024-03-08", "rollback"),
    ]
