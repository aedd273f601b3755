"""Find rows of the future: a clock was ahead when they were stored, or a clock is behind now.

No run takes such rows off the ledger. By a clock that is behind, as after a dead battery, the whole
ledger is of the future.
"""

from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from forecasting.conditions import Condition
from forecasting.errors import StoreError
from forecasting.store.connect import reading
from forecasting.store.frames import newest

# Rows that are ahead by less than this are soon of the past by themselves.
_TOLERANCE = timedelta(days=1)


def rows_ahead(connection: Connection, now: datetime) -> Condition | None:
    """Return what is of more than a day after the ledger's clock, with what to do about it.

    A machine whose clock is ahead of its Postgres server is found too. Return None if nothing is
    ahead.
    """
    at = _clock(connection, now)
    session = newest(connection, "runs", "as_of", {}) or date.min
    fetched = newest(connection, "fetches", "fetched_at", {}) or now
    last = max(fetched, datetime.combine(session, time(), UTC), now)
    if last <= at + _TOLERANCE:
        return None
    reason = (
        f"The clock says {at:%Y-%m-%d %H:%M} UTC (with Postgres it is the server's), but the "
        f"ledger's rows or this machine's clock are at {last:%Y-%m-%d %H:%M} UTC. If a clock is "
        "wrong now, set it right (timedatectl) and run again. If a clock was ahead when the rows "
        "were stored, restore the backup from before."
    )
    return Condition("future", {"reason": reason})


def check_clock(url: str, now: datetime) -> None:
    """Raise a StoreError if the ledger has `rows_ahead`."""
    with reading(url) as connection:
        ahead = rows_ahead(connection, now)
    if ahead is not None:
        raise StoreError(str(ahead.values["reason"]))


def _clock(connection: Connection, now: datetime) -> datetime:
    """Return the ledger's clock: its server's on Postgres, this machine's on SQLite."""
    if connection.dialect.name == "sqlite":
        return now
    return connection.execute(sa.select(sa.func.now())).scalar_one()
