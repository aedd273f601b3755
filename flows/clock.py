"""The only clock, and the only wait. Tests move it; nothing in `forecasting` may read the time."""

import time
from datetime import UTC, datetime

_SLICE_S = 30.0
"""One sleep at most: a machine that was suspended notices the hour when it wakes."""


def now() -> datetime:
    """The present instant, aware UTC."""
    return datetime.now(UTC)


def wait_until(moment: datetime) -> None:
    """Return at an instant. A signal that ends the process, as Prefect's cancelling does, ends the wait at once."""
    while (left := (moment - now()).total_seconds()) > 0.0:
        time.sleep(min(left, _SLICE_S))
