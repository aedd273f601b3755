"""The only clock, and the wait of a night. Tests replace it; nothing in `forecasting` may read the time."""

import time
from datetime import UTC, datetime

_SLICE_S = 30.0  # longest single sleep: after a suspension the machine checks the time again this soon


def now() -> datetime:
    """The present instant, aware UTC."""
    return datetime.now(UTC)


def wait_until(moment: datetime) -> None:
    """Return at an instant. A signal that ends the process, as Prefect's cancelling does, ends the wait at once."""
    while (left := (moment - now()).total_seconds()) > 0.0:
        time.sleep(min(left, _SLICE_S))
