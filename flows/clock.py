"""The only clock, which tests replace: `forecasting` has none."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present instant, aware UTC."""
    return datetime.now(UTC)
