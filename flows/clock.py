"""The only clock, and the wait of a night, which tests replace: `forecasting` has none."""

import time
from datetime import UTC, datetime

# Longest single sleep: after a suspension the machine checks the time again this soon
_SLICE_S = 30.0


def now() -> datetime:
    """The present instant, aware UTC."""
    return datetime.now(UTC)


def wait_until(moment: datetime) -> None:
    """Return at an instant; a signal that ends the process, as a cancelled run's, ends the wait."""
    while (left := (moment - now()).total_seconds()) > 0.0:
        time.sleep(min(left, _SLICE_S))
