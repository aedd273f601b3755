"""The rows of a ledger as plain values, the same from both databases."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from typing import Any

from forecasting.store import connect
from forecasting.store.schema import metadata

Row = dict[str, Any]
Key = tuple[Any, ...]
Rows = dict[str, dict[Key, Row]]
"""By table and primary key."""


def read_all(url: str, parsed: dict[str, dict[Key, Row]]) -> Rows:
    """Every row of every table, by its primary key; those of `parsed`, by their raw values, are not made anew."""
    found: Rows = {}
    with connect.reading(url) as connection:
        for name, table in metadata.tables.items():
            key = [column.name for column in table.primary_key]
            rows = connection.exec_driver_sql(f"SELECT * FROM {name}")
            names = list(rows.keys())
            known = parsed[name]
            parsed[name] = {raw: known.get(raw) or plain_row(names, raw) for raw in map(tuple, rows)}
            found[name] = {tuple(row[column] for column in key): row for row in parsed[name].values()}
    return found


def plain_row(names: list[str], raw: Key) -> Row:
    """A row by the names of its columns."""
    return {name: plain(name, value) for name, value in zip(names, raw, strict=True)}


def plain(column: str, value: Any) -> Any:
    """The value as both databases' drivers should return it: sessions as dates, instants aware."""
    if isinstance(value, str) and (column.endswith(("_at", "_as_of")) and column != "as_of"):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    if isinstance(value, str) and len(value) == 10 and value[4] == value[7] == "-":
        return date.fromisoformat(value)
    return value


def versions_of(rows: Rows) -> dict[tuple[str, date], list[Row]]:
    """The versions of each bar, oldest first; an empty list for one that is not stored."""
    found: dict[tuple[str, date], list[Row]] = defaultdict(list)
    for _, row in sorted(rows["bar_versions"].items()):
        found[row["symbol"], row["session"]].append(row)
    return found


def score_key(row: Row) -> Key:
    """The key of the forecast of a score, or of a forecast."""
    return tuple(row[name] for name in ("symbol", "target", "origin_session", "horizon", "model_id", "kind"))
