from __future__ import annotations

from datetime import date

from forecasting.store import read, writes
from forecasting.store.database import transaction
from tests.store.rows import TARGET, at, model_row


def base_row(id: str, day: int, **changed: object) -> dict[str, object]:
    """Pretrained weights made in the evening of a day in March."""
    made = {"method": "base", "symbol": "", "scope": "panel", "base": f"{TARGET}-{id}"}
    files = {"artifact_path": f"weights/{id}", "artifact_hash": "0" * 64, "trained_to": date(2024, 3, day)}
    return model_row(id, created_at=at(f"2024-03-0{day}T22:00"), **{**made, **files, **changed})


def test_pretrained_weights_are_read_newest_first_and_as_known_at_an_instant(database_url: str) -> None:
    with transaction(database_url) as connection:
        others = [model_row("m1"), base_row("range", 4, target="range")]
        for row in (*others, base_row("older", 4), base_row("newer", 6)):
            writes.add_model(connection, row)
        assert [row["id"] for row in read.pretrained(connection, TARGET)] == ["newer", "older"]
        (known,) = read.pretrained_by(connection, TARGET, known_at=at("2024-03-06T21:59"))
        needed = ("id", "method", "base", "trained_to", "artifact_path", "artifact_hash")
        assert known == {name: base_row("older", 4)[name] for name in needed}
        assert len(read.pretrained_by(connection, TARGET, known_at=at("2024-03-06T22:00"))) == 2
