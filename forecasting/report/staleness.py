"""When a page is stale: the instant after which its reader is warned, judged in the browser by the reader's clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta


def stale_after(session: date) -> str:
    """Noon UTC of the day after the first session forecast, ISO text; a newer night is due by then on any exchange.

    The session has closed everywhere by then, and the night that follows it is made in the early hours.
    """
    return datetime.combine(session + timedelta(1), time(12), tzinfo=UTC).isoformat()
