"""The only clock. Tests move it; nothing in `forecasting` may read the time."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present instant, aware UTC."""
    return datetime.now(UTC)
