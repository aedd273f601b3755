from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from forecasting.store import read, write
from forecasting.store.connect import transaction
from tests.store.rows import SYMBOL, TARGET, at, model_row


def base_row(id: str, day: int, **changed: object) -> dict[str, object]:
    """Pretrained weights made in the evening of a day in March."""
    made = {"method": "base", "symbol": "", "scope": "panel", "base": f"{TARGET}-{id}"}
    files = {"artifact_path": f"weights/{id}", "artifact_hash": "0" * 64, "trained_to": date(2024, 3, day)}
    return model_row(id, created_at=at(f"2024-03-0{day}T22:00"), **{**made, **files, **changed})


def test_pretrained_weights_are_read_newest_first_and_as_known_at_an_instant(database_url: str) -> None:
    with transaction(database_url) as connection:
        others = [model_row("m1"), base_row("range", 4, target="range")]
        for row in (*others, base_row("older", 4), base_row("newer", 6)):
            write.add(connection, "models", row)
        assert [row["id"] for row in read.pretrained(connection, TARGET)] == ["newer", "older"]
        (known,) = read.pretrained(connection, TARGET, known_at=at("2024-03-06T21:59"))
        assert known["id"] == "older"
        assert len(read.pretrained(connection, TARGET, known_at=at("2024-03-06T22:00"))) == 2


def test_the_ids_of_kept_and_of_pruned_weights_are_those_of_the_symbol_newest_first(database_url: str) -> None:
    kept = {"artifact_path": "artifacts/x", "artifact_hash": "0" * 64}
    with transaction(database_url) as connection:
        rows = [
            model_row("old", created_at=at("2024-03-04T22:00"), **{**kept, "artifact_path": None}),
            model_row("older", created_at=at("2024-03-01T22:00"), **{**kept, "artifact_path": None}),
            model_row("new", created_at=at("2024-03-05T22:00"), **kept),
            model_row("newer", created_at=at("2024-03-06T22:00"), **kept),
            model_row("baseline", artifact_path=None, artifact_hash=None),
            model_row("of another", symbol="KO", **kept),
        ]
        for row in rows:
            write.add(connection, "models", row)
        assert read.network_ids(connection, SYMBOL, TARGET, pruned=False) == ["newer", "new"]
        assert read.network_ids(connection, SYMBOL, TARGET, pruned=True) == ["old", "older"]


def test_parents_are_named_from_the_nearest_to_the_oldest_and_once_in_a_circle(database_url: str) -> None:
    with transaction(database_url) as connection:
        for child, parent in (("c", "b"), ("b", "a"), ("a", "gone"), ("x", "y"), ("y", "x")):
            write.add(connection, "models", model_row(child, parent_id=parent))
        assert read.lineage(connection, "c")["parents"] == ["b", "a", "gone"]
        assert read.lineage(connection, "x")["parents"] == ["y", "x"]
        assert read.lineage(connection, "nobody")["parents"] == []


def test_the_champion_is_the_winner_of_the_newest_promotion(database_url):
    def promote(connection: sa.Connection, id: str, winner: str, when: str) -> None:
        row = {"id": id, "symbol": SYMBOL, "target": TARGET, "session": date(2024, 3, 8), "challenger": winner}
        row |= {"winner": winner, "origins": 0, "reason": "", "trigger": "night", "decided_at": at(when)}
        write.add(connection, "promotions", row)

    with transaction(database_url) as connection:
        for id in ("m1", "m2"):
            write.add(connection, "models", model_row(id, created_at=at(f"2024-03-0{id[1]}")))
        promote(connection, "p1", "m2", "2024-03-08T22:00")
        promote(connection, "p2", "m1", "2024-03-08T22:01")
        champion = read.champion(connection, SYMBOL, TARGET)
        assert champion is not None
        assert champion["id"] == "m1"
        assert read.champion(connection, SYMBOL, "close") is None
        newest_first = read.table_rows(connection, "models", {"symbol": SYMBOL}, order=("created_at DESC", "id"))
        assert [model["id"] for model in newest_first] == ["m2", "m1"]
