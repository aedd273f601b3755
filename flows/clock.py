"""The only clock, and the wait of a night. Tests replace it.

Nothing in `forecasting` may read the time.
"""

import time
from datetime import UTC, datetime

# Longest single sleep: after a suspension the machine checks the time again this soon
_SLICE_S = 30.0


def now() -> datetime:
    """The present instant, aware UTC."""
    return datetime.now(UTC)


def wait_until(moment: datetime) -> None:
    """Return at an instant. A signal that ends the process, as Prefect's cancelling does, ends the wait at once."""
    while (left := (moment - now()).total_seconds()) > 0.0:
        time.sleep(min(left, _SLICE_S))
