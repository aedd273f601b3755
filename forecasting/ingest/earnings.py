"""Earnings dates: of a file or of a source's lists, the sessions that react, and the nights that may use them.

An event row is never changed. A later row of the same session and kind replaces an earlier one; one whose known_rule is
`withdrawn` ends it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.errors import BadDataError, SourceError, UsageError
from forecasting.ingest.bar_rules import STALE_EARNINGS, Finding
from forecasting.ingest.sources import EarningsCalendarSource, EarningsSource, Source
from forecasting.ingest.sources.files import Fault, Table, read_days, read_file
from forecasting.ingest.sources.plugins import called, check_dates
from forecasting.sessions import calendar

logger = logging.getLogger("forecasting.ingest")

KEY = ["session", "kind"]
VALUES = ["known_from", "known_rule", "announced", "timing"]
COLUMNS = [*KEY, *VALUES]
STORED = [*COLUMNS, "source", "first_seen_at"]
"""Columns of the dates that a night may use, and of the rows of table events."""

TIMINGS = ("bmo", "amc", "")
"""Before the market opens, after it closes, or not known."""

WITHDRAWN = "withdrawn"
"""The known_rule of a row that withdraws an event: origins from its known_from on may not use it."""

_MOVED_WITHIN = 30  # sessions between a coming date and the one that replaces it; the next quarter's is twice as far
_KNOWN_AHEAD = 21  # sessions from which on an event counts whose first day is not known
_YEARS = range(1962, 2060)  # those of the calendars; an older or later day has no session that reacts
_HOUR = r"[T ]\d\d:.*$"  # of an instant, whose day counts
_BUNDLED = {"SBUX": "sbux_earnings.csv"}

_LISTED_AFTER = timedelta(days=60)  # the next date may be missing for so long; it is then about a month ahead
_AHEAD = timedelta(days=100)  # the next date of every company that reports quarterly lies within
_BEFORE = timedelta(days=7)  # a date just past is listed with the timing that it had
_QUARTER, _YEAR = timedelta(days=100), timedelta(days=365)
_SAME_QUARTER = pd.Timedelta(days=45)


def read_events_csv(path: Path, symbol: str = "") -> pd.DataFrame:
    """Earnings dates of a CSV: columns announced (naive midnight), timing (`bmo`, `amc` or empty), first_seen (or NaT).

    Args:
        path: A file with the columns announced, timing and optionally first_seen_at and symbol; dates as 2024-01-30.
        symbol: Whose rows are read where the file has a column symbol.

    Raises:
        UsageError: No such file, no regular one, or too large.
        BadDataError: A column is missing, or a line holds no date or another timing; the message names the line and
            quotes no cell.
    """
    table = _table(path)
    rows, misfits = table.of_symbol(symbol)
    seen = rows["first_seen_at"] if "first_seen_at" in rows else pd.Series("", index=rows.index)
    timing = rows["timing"].str.strip().str.lower()
    announced, undated = read_days(rows["announced"].str.replace(_HOUR, "", regex=True), _YEARS)
    first_seen, unseen = read_days(seen.str.replace(_HOUR, "", regex=True), _YEARS)
    for fault in (
        Fault(misfits, "expected as many fields as the header", rows["announced"]),
        undated,
        Fault(~timing.isin(TIMINGS).to_numpy(), "expected the timing bmo, amc or empty", timing),
        Fault(unseen.rows & (seen.str.strip() != "").to_numpy(), unseen.expected, seen),
    ):
        if fault.rows.any():
            reason = fault.reason(int(np.flatnonzero(fault.rows)[0]), table.unit)
            raise BadDataError(f"{table.name} {reason}. Correct that line.")
    return pd.DataFrame({"announced": announced, "timing": timing.to_numpy(dtype=str), "first_seen": first_seen})


def _table(path: Path) -> Table:
    return read_file(path, "csv", "--events csv:PATH", needed=("announced", "timing"))


def no_events() -> pd.DataFrame:
    """No earnings dates, as read_events_csv."""
    never = pd.DatetimeIndex([]).as_unit("ns")
    return pd.DataFrame({"announced": never, "timing": pd.Series(dtype=str), "first_seen": never})


def bundled_events(symbol: str) -> pd.DataFrame:
    """Earnings dates shipped with the package (SBUX, 2010 on), as read_events_csv; empty for every other symbol."""
    if symbol not in _BUNDLED:
        return no_events()
    return read_events_csv(Path(str(files("forecasting.ingest") / _BUNDLED[symbol])))


def usable_events(symbol: str, option: str | None, *, exchange: str) -> pd.DataFrame:
    """The earnings dates of `csv:PATH`, or the bundled ones of the symbol, as `reacting`."""
    if option is None:
        return reacting(bundled_events(symbol), exchange=exchange)
    return reacting(read_events_csv(_path(option), symbol), exchange=exchange)


def check_events(option: str | None, symbols: Sequence[str]) -> None:
    """Return when the file of --events, if there is one, can be read and says which of several symbols a date is of.

    Raises:
        UsageError: As `usable_events`; or there are several symbols, and the file has no column for theirs.
        BadDataError: As `usable_events`.
    """
    if option is None:
        return
    path = _path(option)
    if len(symbols) == 1:
        read_events_csv(path, symbols[0])
    elif _table(path).places is None:
        raise UsageError(
            f"Expected a column symbol in {path.name}, whose earnings dates would count for each of {len(symbols)} "
            "symbols. Add it, or run one symbol with this file."
        )


def _path(option: str) -> Path:
    kind, _, path = option.partition(":")
    if kind != "csv" or not path:
        raise UsageError(
            "Expected --events csv:PATH, a file with the columns announced and timing; found another form."
        )
    return Path(path)


def reacting(events: pd.DataFrame, *, exchange: str = "XNYS", seen: date | None = None) -> pd.DataFrame:
    """The sessions that react to the events, and the first origin session that may use each.

    After the close (`amc`) the next session reacts; otherwise the announcement's own, or the next one traded.
    known_from is the session on or after first_seen where that is given (`known_rule` "seen"). Without it the default
    rule applies: companies announce a date weeks ahead, so 21 sessions before it ("21 sessions ahead").

    Args:
        events: Columns announced, timing and optionally first_seen.
        exchange: Exchange of the sessions.
        seen: The day on which a live source listed these events. Reactions after it count as first seen that day;
            for earlier ones, whose first day is unknown, the default rule applies.

    Returns:
        Columns session, kind (`earnings`), known_from, announced, timing, known_rule; one row per session, ascending.
    """
    days = calendar(exchange).sessions
    events = events[events["announced"] < days[-1]]  # some calendars end this year; a later session is not known
    announced = pd.DatetimeIndex(events["announced"]).as_unit("ns")
    at = days.searchsorted(announced)
    at += (events["timing"] == "amc").to_numpy() & (days[at] == announced)  # after the close: the session after it
    first_seen = _first_seen(events, days[at], seen)
    seen_from = days[days.searchsorted(first_seen.fillna(days[0]))]
    is_seen = first_seen.notna()
    frame = pd.DataFrame(
        {
            "session": days[at],
            "kind": "earnings",
            "known_from": seen_from.where(is_seen, days[(at - _KNOWN_AHEAD).clip(min=0)]),
            "announced": announced,
            "timing": events["timing"].to_numpy(),
            "known_rule": np.where(is_seen, "seen", f"{_KNOWN_AHEAD} sessions ahead"),
        }
    )
    frame[["kind", "timing", "known_rule"]] = frame[["kind", "timing", "known_rule"]].astype(str)
    return frame.drop_duplicates("session", keep="last").sort_values("session", ignore_index=True)[COLUMNS]


def withdrawn(coming: pd.DataFrame, listed: pd.DataFrame, *, session: date, exchange: str = "XNYS") -> pd.DataFrame:
    """Rows that withdraw the coming events that a list has moved, in the columns of `reacting`.

    An event has moved when the list no longer names it but another coming one within 30 sessions. An empty or short
    list withdraws no event.

    Args:
        coming: Earlier announcements of the same source for sessions after `session`: session, kind, announced, timing.
        listed: Its present list, as returned by `reacting`.
        session: The night's session: the first origin that may no longer use the old date.
        exchange: Exchange of the sessions.
    """
    days = calendar(exchange).sessions
    ahead = listed.loc[listed["session"] > pd.Timestamp(session), "session"]
    before, now = (days.searchsorted(pd.DatetimeIndex(when)) for when in (coming["session"], ahead))
    near = (np.abs(before[:, None] - now[None, :]) <= _MOVED_WITHIN).any(axis=1)
    moved = coming[near & ~coming["session"].isin(ahead).to_numpy()]
    withdrawals: pd.DataFrame = moved.assign(known_from=pd.Timestamp(session), known_rule=WITHDRAWN)[COLUMNS]
    return withdrawals


def _first_seen(events: pd.DataFrame, sessions: pd.DatetimeIndex, seen: date | None) -> pd.DatetimeIndex:
    """The day each event was first seen; NaT where the default rule applies."""
    stated = events["first_seen"] if "first_seen" in events else pd.Series(pd.NaT, index=events.index)
    first_seen = pd.DatetimeIndex(stated).as_unit("ns")
    if seen is None:
        return first_seen
    return first_seen.where(first_seen.notna() | (sessions <= pd.Timestamp(seen)), pd.Timestamp(seen))


@dataclass(frozen=True)
class Asking:
    """A night's symbol whose source is asked for earnings dates.

    Attributes:
        symbol: The symbol.
        exchange: Exchange of its sessions.
        source: Its source, which is asked unless a file of the user's is in the place of its lists.
        has_file: Whether there is one.
        session: The newest session that is requested.
        stored: Event rows of the symbol, STORED, ascending by first_seen_at and session.
    """

    symbol: str
    exchange: str
    source: Source
    has_file: bool
    session: date
    stored: pd.DataFrame

    @property
    def is_asked(self) -> bool:
        """Whether its source is asked at all."""
        return not self.has_file and isinstance(self.source, EarningsSource | EarningsCalendarSource)


Calendar = Callable[[], Mapping[str, pd.DataFrame]]
"""The calendar's dates by symbol: columns announced, timing. The request is made when it is first called."""


@dataclass(frozen=True)
class Lists:
    """The earnings dates that a night has, as `reacting`.

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


@dataclass(frozen=True)
class Change:
    """Event rows to add, and their source."""

    rows: pd.DataFrame
    source: str


def calendar_of(symbols: Sequence[Asking]) -> Calendar:
    """The calendar for these symbols of one source; empty for a source without one."""
    return cache(partial(_calendar, symbols))


def _calendar(symbols: Sequence[Asking]) -> dict[str, pd.DataFrame]:
    """The calendar's dates by symbol; none, with a log line, where its code fails or returns something else."""
    asked = [one for one in symbols if one.is_asked]
    if not asked or not isinstance(asked[0].source, EarningsCalendarSource):
        return {}
    source, sessions = asked[0].source, [one.session for one in asked]
    try:
        with called(source):
            names = [one.symbol for one in asked]
            rows = source.earnings_calendar(names, min(sessions) - _BEFORE, max(sessions) + _AHEAD)
        check_dates(rows, names=("symbol", "announced", "timing"))
    except SourceError as error:
        logger.warning("no earnings calendar of %d symbols: %s", len(asked), error)
        return {}
    return {str(symbol): of_symbol.drop(columns="symbol") for symbol, of_symbol in rows.groupby("symbol")}


def listed_events(asking: Asking, listed: Calendar) -> pd.DataFrame:
    """The source's dates as `reacting`, coming ones known from the night's session on.

    A symbol's own list has the past, and dates that the calendar lacks: it is requested unless the calendar names a
    coming date and an announcement of the newest quarter is stored. Of a quarter in both, the calendar's date counts.
    """
    if not asking.is_asked:
        return reacting(no_events(), exchange=asking.exchange)
    of_calendar, own, night = listed().get(asking.symbol, no_events()), no_events(), pd.Timestamp(asking.session)
    is_coming = bool((of_calendar["announced"] > night).any())
    has_newest = asking.stored["session"].between(night - _QUARTER, night).any()
    if isinstance(asking.source, EarningsSource) and not (is_coming and has_newest):
        own = own_list(asking.source, asking.symbol)
    is_other = [(of_calendar["announced"] - day).abs().min() >= _SAME_QUARTER for day in own["announced"]]
    both = [dates for dates in (own[is_other] if len(of_calendar) else own, of_calendar) if len(dates)]
    joined = pd.concat(both).sort_values("announced", ignore_index=True) if both else own
    return reacting(joined, exchange=asking.exchange, seen=asking.session)


def own_list(source: EarningsSource, symbol: str) -> pd.DataFrame:
    """The source's own list of a symbol; empty, with a log line, where its code fails or returns something else."""
    try:
        with called(source):
            listed = source.earnings_dates(symbol)
        check_dates(listed)
    except SourceError as error:
        logger.warning("no earnings dates of %s: %s", symbol, error)
        return no_events()
    return listed


def events_of_backtest(
    symbol: str, option: str | None, source: Source, *, exchange: str, session: date
) -> pd.DataFrame:
    """The earnings dates that a symbol's first night has: a file's, bundled or its source's, seen on `session`."""
    usable = usable_events(symbol, option, exchange=exchange)
    if option is not None or len(usable) or not isinstance(source, EarningsSource):
        return usable
    return reacting(own_list(source, symbol), exchange=exchange, seen=session)


def stale_dates(asking: Asking, lists: Lists) -> list[Finding]:
    """The finding on a source without a coming date, of a symbol that has reported within a year; none for any other.

    An empty list is one at once, any other 60 days after the newest known date. The finding is of the session that
    reacted to it. A coming date of another list, as of a file, serves as well; a stored one does not.
    """
    if not asking.is_asked:
        return []
    night, known = pd.Timestamp(asking.session), [lists.listed["session"], lists.usable["session"]]
    valid = drop_moved(validity_intervals(asking.stored))
    past = [*known, valid.loc[valid["withdrawn_from"].isna(), "session"]]
    newest = max((days[days <= night].max() for days in past if (days <= night).any()), default=None)
    if any((days > night).any() for days in known) or newest is None or newest < night - _YEAR:
        return []
    if len(lists.listed) and newest >= night - _LISTED_AFTER:
        return []
    found = f"lists {len(lists.listed)}, none of them coming" if len(lists.listed) else "lists none"
    detail = f"The newest known earnings date is of this session; the source {found}."
    return [Finding(newest.date(), STALE_EARNINGS, "flag", None, detail)]


def changes(stored: pd.DataFrame, lists: Lists, *, session: date, exchange: str) -> list[Change]:
    """The rows that the night adds to the stored ones: usable dates, new listed ones, and withdrawals of moved ones.

    Args:
        stored: STORED, ascending by first_seen_at and session.
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

    The rows: STORED, in the order in which they were first seen.
    """
    newest = rows[rows["session"] > pd.Timestamp(after)].drop_duplicates(KEY, keep="last")
    valid = (newest["source"] == source) & (newest["known_rule"] != WITHDRAWN)
    return newest.loc[valid, ["session", "kind", "announced", "timing"]].reset_index(drop=True)


def _with_rows(stored: pd.DataFrame, added: pd.DataFrame, lists: Lists) -> pd.DataFrame:
    seen = added.assign(source=lists.usable_source, first_seen_at=pd.Timestamp(lists.seen_at))[STORED]
    if stored.empty or seen.empty:  # pandas warns of a concatenation with an empty frame
        return seen if stored.empty else stored
    return pd.concat([stored, seen]).sort_values(["first_seen_at", "session"], kind="stable", ignore_index=True)


def _tuples(frame: pd.DataFrame, columns: list[str]) -> list[tuple[object, ...]]:
    return list(zip(*(frame[name].tolist() for name in columns), strict=True))
