"""The rows of tables that more than one room reads: each field is the column of its name."""

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True)
class FetchRow:
    """One request to a source and its outcome, of table fetches."""

    id: str
    source: str
    title: str
    fetched_at: datetime
    first_asked: date
    last_asked: date
    first_received: date | None
    last_received: date | None
    row_count: int
    verdict: str
    detail: str
