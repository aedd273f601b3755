"""Column types with the same behaviour on SQLite and Postgres."""

from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, Dialect
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator

_POSTGRES: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def in_utc(value: datetime) -> datetime:
    """`value` in UTC; raises ValueError for a naive instant, which is a fault of the code."""
    if value.tzinfo is None:
        raise ValueError(f"Expected an instant with a time zone; found the naive {value.isoformat()}.")
    return value.astimezone(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware UTC in Python; timestamptz on Postgres, ISO text on SQLite, which keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """`value` in UTC; raises ValueError for a naive instant, which is a fault of the code."""
        return None if value is None else in_utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The stored instant, aware again."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def type_text(column: "Column[object]") -> str:
    """The type of a column in Postgres: varchar(16), double precision, timestamptz."""
    return column.type.compile(_POSTGRES).lower().replace("timestamp with time zone", "timestamptz")
