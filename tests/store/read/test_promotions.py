from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from forecasting.store import read, write
from forecasting.store.connect import transaction
from tests.store.rows import SYMBOL, TARGET, at, model_row


def test_the_champion_is_the_winner_of_the_newest_promotion(database_url):
    def promote(connection: sa.Connection, id: str, winner: str, when: str) -> None:
        row = {"id": id, "symbol": SYMBOL, "target": TARGET, "session": date(2024, 3, 8), "challenger": winner}
        row |= {"winner": winner, "origins": 0, "reason": "", "trigger": "night", "decided_at": at(when)}
        write.add_promotion(connection, row)

    with transaction(database_url) as connection:
        for id in ("m1", "m2"):
            write.add_model(connection, model_row(id, created_at=at(f"2024-03-0{id[1]}")))
        promote(connection, "p1", "m2", "2024-03-08T22:00")
        promote(connection, "p2", "m1", "2024-03-08T22:01")
        champion = read.champion(connection, SYMBOL, TARGET)
        assert champion is not None
        assert champion["id"] == "m1"
        assert read.champion(connection, SYMBOL, "close") is None
        assert [model["id"] for model in read.models(connection, SYMBOL, TARGET)] == ["m2", "m1"]
