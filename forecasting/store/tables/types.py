"""Column types that behave the same on SQLite and Postgres."""

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect
from sqlalchemy.types import TypeDecorator


def in_utc(value: datetime) -> datetime:
    """`value` in UTC; a naive instant is our bug and is refused."""
    if value.tzinfo is None:
        raise ValueError(f"an instant must carry its time zone; found the naive {value.isoformat()}")
    return value.astimezone(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware UTC in Python; timestamptz on Postgres, ISO text on SQLite, which keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """`value` in UTC; a naive instant is our bug and is refused."""
        return None if value is None else in_utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The stored instant, aware again."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
