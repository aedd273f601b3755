"""The stored history of a symbol's events: when each is valid, which are still announced, what a new list adds.

An event row is never changed. A later row of the same session and kind replaces an earlier one; one whose known_rule is
`withdrawn` ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd

from forecasting.ingest.events import WITHDRAWN, withdrawn

KEY = ["session", "kind"]
VALUES = ["known_from", "known_rule", "announced", "timing"]
COLUMNS = [*KEY, *VALUES, "source", "first_seen_at"]


@dataclass(frozen=True)
class Change:
    """Event rows to add, and their source."""

    rows: pd.DataFrame
    source: str


@dataclass(frozen=True)
class Lists:
    """The earnings dates that a night has, in the columns of `events.reacting`.

    Attributes:
        usable: Dates of a file, or the bundled ones.
        listed: Dates that the source lists now.
        usable_source, listed_source: The source of each.
        seen_at: When they were read, aware UTC.
    """

    usable: pd.DataFrame
    listed: pd.DataFrame
    usable_source: str
    listed_source: str
    seen_at: datetime


def changes(stored: pd.DataFrame, lists: Lists, *, session: date, exchange: str) -> list[Change]:
    """The rows that the night adds to the stored ones: usable dates, new listed ones, and withdrawals of moved ones.

    Args:
        stored: COLUMNS, ascending by first_seen_at and session.
        lists: The night's dates.
        session: The night's session: the first origin that may use a date seen today.
        exchange: Exchange of the sessions.
    """
    history = _with_rows(stored, unseen(stored, lists.usable), lists)
    intervals = drop_moved(validity_intervals(history))
    valid = intervals.loc[intervals["withdrawn_from"].isna(), "session"]
    # A date seen on an earlier night stays known from that night; of the past, a file is more exact than a list.
    past = lists.listed["session"] <= pd.Timestamp(session)
    new = lists.listed[~lists.listed["session"].isin(valid) & ~(past & (len(lists.usable) > 0))]
    coming = announced_events(history, source=lists.listed_source, after=session)
    moved = withdrawn(coming, lists.listed, session=session, exchange=exchange)
    return [
        Change(lists.usable, lists.usable_source),
        Change(new, lists.listed_source),
        Change(moved, lists.listed_source),
    ]


def unseen(stored: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The `rows` that are new, or whose date, timing, rule or first usable session differs from the newest stored row.

    Args:
        stored: KEY and VALUES, ascending by first_seen_at.
        rows: KEY and VALUES.
    """
    newest = dict(zip(_tuples(stored, KEY), _tuples(stored, VALUES), strict=True))
    pairs = zip(_tuples(rows, KEY), _tuples(rows, VALUES), strict=True)
    return rows[np.array([newest.get(key) != values for key, values in pairs], dtype=bool)]


def validity_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as intervals of origins: valid from known_from on, and no longer from `withdrawn_from` on (NaT: valid).

    Args:
        rows: Columns session, kind, known_from, announced, known_rule; in the order in which they were first seen. A
            row after a withdrawal begins another interval.
    """
    ending = rows["known_rule"] == WITHDRAWN
    ended = ending.astype("int64").groupby([rows["session"], rows["kind"]]).cumsum()
    rows = rows.assign(interval=ended - ending)  # a withdrawal belongs to the interval that it ends
    key = [*KEY, "interval"]
    ends = rows.loc[ending, [*key, "known_from"]].rename(columns={"known_from": "withdrawn_from"})
    return rows[~ending].drop_duplicates(key, keep="last").merge(ends, on=key, how="left").drop(columns="interval")


def drop_moved(intervals: pd.DataFrame) -> pd.DataFrame:
    """The intervals without those of an announcement that is valid under a newer session: only its newest counts."""
    valid = intervals["withdrawn_from"].isna()
    newer = intervals[valid].duplicated(["announced", "kind"], keep="last").reindex(intervals.index, fill_value=False)
    return intervals[~valid | ~newer]


def announced_events(rows: pd.DataFrame, *, source: str, after: date) -> pd.DataFrame:
    """A source's announcements for sessions after a day, not withdrawn: session, kind, announced, timing.

    Args:
        rows: COLUMNS, in the order in which they were first seen.
        source: Source of the announcements.
        after: The day.
    """
    newest = rows[rows["session"] > pd.Timestamp(after)].drop_duplicates(KEY, keep="last")
    valid = (newest["source"] == source) & (newest["known_rule"] != WITHDRAWN)
    return newest.loc[valid, ["session", "kind", "announced", "timing"]].reset_index(drop=True)


def _with_rows(stored: pd.DataFrame, added: pd.DataFrame, lists: Lists) -> pd.DataFrame:
    seen = added.assign(source=lists.usable_source, first_seen_at=pd.Timestamp(lists.seen_at))[COLUMNS]
    if stored.empty or seen.empty:  # pandas warns of a concatenation with an empty frame
        return seen if stored.empty else stored
    return pd.concat([stored, seen]).sort_values(["first_seen_at", "session"], kind="stable", ignore_index=True)


def _tuples(frame: pd.DataFrame, columns: list[str]) -> list[tuple[object, ...]]:
    return list(zip(*(frame[name].tolist() for name in columns), strict=True))
