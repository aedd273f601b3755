"""Earnings dates of files, filings and sources: sessions that react, nights that may use them.

An event row is never changed: a later one of the same session and kind replaces it, or ends it
(`withdrawn`). Of a quarter in several lists the first one's date counts: a file's or the bundled
one, the stored one, a shipped filing's, the source's.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, partial

import numpy as np
import pandas as pd

from forecasting.errors import BadDataError, SourceError
from forecasting.ingest.bar_rules import STALE_EARNINGS, UNREAD_EARNINGS, Finding
from forecasting.ingest.event_files import (
    TIMINGS,
    bundled_events,
    filed_events,
    no_events,
    path_of,
    read_events_csv,
)
from forecasting.ingest.sources import (
    EarningsCalendarSource,
    EarningsSource,
    Source,
    are_midnights,
)
from forecasting.ingest.sources.plugins import called
from forecasting.sessions import calendar

logger = logging.getLogger("forecasting.ingest")

KEY = ["session", "kind"]
VALUES = ["known_from", "known_rule", "announced", "timing"]
COLUMNS = [*KEY, *VALUES]
STORED = [*COLUMNS, "source", "first_seen_at"]
"""Columns of the dates that a night may use, and of the rows of table events."""

WITHDRAWN = "withdrawn"
"""The known_rule of a row that withdraws an event, from its known_from on."""

FILINGS = "sec-8k"
"""Source of the days on which 505 US companies filed their results with the SEC (form 8-K, item
2.02), shipped."""

_KNOWN_AHEAD = 21  # sessions from which on an event counts whose first day is not known

# Past ones whose median says when the next is due; of 1 to 16 and all, most right on 95 stocks
_REPORTS = 8
# Sessions of bars before any origin: 186 of warm-up and 250 rows, the last one its own
_FIRST_ORIGIN = 435

# The next date may be missing for so long; it is then about a month ahead
_LISTED_AFTER = timedelta(days=60)
_AHEAD = timedelta(days=100)  # the next date of every company that reports quarterly lies within
_BEFORE = timedelta(days=7)  # a date just past is listed with the timing that it had
_QUARTER = timedelta(days=100)
_YEAR = timedelta(days=365)
# A date that comes closer to another one is of the same quarter, and has moved
_SAME_QUARTER = pd.Timedelta(days=45)

OF_FILE, OF_FILINGS, OF_SOURCE = range(3)
"""Ranks of lists: a file's or the bundled dates, days of filings, dates as a source lists them."""


@dataclass(frozen=True)
class Reports:
    """What a symbol's volume showed after its reports."""

    announced: pd.DatetimeIndex  # days of reports, of every list
    volume: pd.Series  # by session

    def come_late(self, at: np.ndarray, days: pd.DatetimeIndex) -> np.ndarray:
        """Whether a report on each session, of unknown hour, will come after its close.

        It will where the sessions after reports had more volume than the reports' own, at the
        median of the newest eight closed when the date became known. The first ones decide on each
        other: one answer for all origins.
        """
        volume = np.log(self.volume.where(self.volume > 0.0)).reindex(days).to_numpy()
        reported = np.unique(days.get_indexer(self.announced))
        reported = reported[(reported >= 0) & (reported < len(days) - 1)]
        reported = reported[np.isfinite(volume[reported + 1] - volume[reported])]
        started = days.searchsorted(self.volume.index[0]) if len(reported) else 0
        # Before it: reported + 1 <= it
        ends = reported.searchsorted(np.maximum(at - _KNOWN_AHEAD, started + _FIRST_ORIGIN))
        past = [reported[max(0, end - _REPORTS) : end] for end in ends]
        return np.array(
            [bool(len(some)) and np.median(volume[some + 1] - volume[some]) > 0.0 for some in past],
            bool,
        )


def reacting(
    events: pd.DataFrame,
    *,
    exchange: str = "XNYS",
    seen: date | None = None,
    reports: Reports | None = None,
) -> pd.DataFrame:
    """The events, columns of `dates_of` and `rank`, with COLUMNS, ascending by rank and session.

    That is the session that reacts, and the first origin that may use each. After the close the
    next session reacts, else the announcement's own, or the next one traded. Reactions after the
    day `seen`, on which a live source listed them, are known from then on; others 21 sessions
    ahead, as companies announce a date weeks before; one that was not scheduled once it has
    happened.
    """
    days = calendar(exchange).sessions
    # Some calendars end this year; a later session is not known
    events = events[events["announced"] < days[-1]]
    announced = pd.DatetimeIndex(events["announced"])
    at = days.searchsorted(announced)
    late = (events["timing"] == "amc").to_numpy(copy=True)
    untimed = (events["timing"] == "").to_numpy()
    if reports is not None and untimed.any():
        late[untimed] = reports.come_late(at[untimed], days)
    at += late & (days[at] == announced)  # after the close: the session after it
    is_scheduled = events["scheduled"].to_numpy()
    known_from = days[np.where(is_scheduled, (at - _KNOWN_AHEAD).clip(min=0), at)]
    known_rule = np.where(is_scheduled, f"{_KNOWN_AHEAD} sessions ahead", "unscheduled")
    if seen is not None:
        is_seen = (events["rank"] == OF_SOURCE).to_numpy() & (days[at] > pd.Timestamp(seen))
        known_from = known_from.where(~is_seen, days[days.searchsorted(pd.Timestamp(seen))])
        known_rule = np.where(is_seen, "seen", known_rule)
    placed = events.assign(
        session=days[at],
        kind="earnings",
        known_from=known_from,
        known_rule=known_rule,
    )
    return _by_session(placed)


def nothing_stored() -> pd.DataFrame:
    """No event rows: COLUMNS and source."""
    return reacting(no_events().assign(rank=OF_FILE, source=""))


def _by_session(claims: pd.DataFrame) -> pd.DataFrame:
    """The claims of each list by session, the last one of each."""
    last = claims.drop_duplicates(["rank", "session"], keep="last")
    return last.sort_values(["rank", "session"], ignore_index=True)


@dataclass(frozen=True)
class Asking:
    """A night's symbol whose source is asked for earnings dates."""

    symbol: str
    exchange: str
    source: Source  # the one that is asked: of the bars, or of --events yahoo
    file: str | None  # --events csv:PATH, in place of the bundled and the source's dates
    session: date  # the newest one that is requested
    stored: pd.DataFrame  # event rows of the symbol, STORED, ascending by first_seen_at and session

    @property
    def is_asked(self) -> bool:
        """Whether its source is asked at all."""
        return self.file is None and isinstance(
            self.source, EarningsSource | EarningsCalendarSource
        )


Listed = tuple[pd.DataFrame, SourceError | None]
"""Dates of a source (columns announced, timing), and why they could not be read."""

Calendar = Callable[[], Listed]
"""Returns the dates of many symbols, in column symbol."""


@dataclass(frozen=True)
class Lists:
    """The earnings dates that a night has."""

    claims: pd.DataFrame  # COLUMNS as they would be, source and rank, ascending
    unread: SourceError | None = None  # why one of the source's lists could not be read


def calendar_of(symbols: Sequence[Asking]) -> Calendar:
    """The calendar for these symbols of one source; empty for a source without one."""
    asked = [one for one in symbols if one.is_asked]

    @cache
    def calendar() -> Listed:
        if not asked or not isinstance(source := asked[0].source, EarningsCalendarSource):
            return no_events().assign(symbol=""), None
        names = [one.symbol for one in asked]
        sessions = [one.session for one in asked]
        request = partial(
            source.earnings_calendar,
            names,
            min(sessions) - _BEFORE,
            max(sessions) + _AHEAD,
        )
        return _list_of(
            source,
            request,
            f"calendar of {len(names)} symbols",
            columns=["symbol", "announced", "timing"],
        )

    return calendar


def _list_of(
    source: object, request: Callable[[], pd.DataFrame], what: str, *, columns: list[str]
) -> Listed:
    """A source's list; an empty one with the logged error of code that fails or returns another."""
    try:
        with called(source):
            listed = request()[columns]
            is_sound = are_midnights(listed["announced"]) and listed["timing"].isin(TIMINGS).all()
        if not is_sound:
            raise BadDataError(
                "Expected earnings dates announced at naive midnights, with the timing bmo, amc or "
                "empty."
            )
    except SourceError as error:
        logger.warning("no earnings %s: %s", what, error)
        return no_events().assign(symbol=""), error
    return listed, None


def lists_of_night(asking: Asking, calendar: Calendar | None, *, volume: pd.Series) -> Lists:
    """The earnings dates of a file or bundled, of filings of other quarters, and of the source.

    Without a calendar the source is asked only if the others end.
    """
    night = asking.session
    if asking.file:
        usable = read_events_csv(path_of(asking.file), asking.symbol)
    else:
        usable = bundled_events(asking.symbol)
    filed = filed_events(asking.symbol, exchange=asking.exchange)
    newest = max([*usable["announced"], *filed["announced"]], default=pd.Timestamp.min)
    listed = no_events()
    unread = None
    if calendar is not None or newest <= pd.Timestamp(night):
        listed, unread = listed_events(asking, calendar)
    filed = filed[_in_other_quarters(filed, usable)]
    # Of filings no timing is known
    stated = dict(zip(listed["announced"], listed["timing"], strict=True))
    filed = filed.assign(timing=[stated.get(day, "") for day in filed["announced"]])
    claims = joined(
        usable.assign(source=asking.file or "bundled", rank=OF_FILE),
        filed.assign(source=FILINGS, rank=OF_FILINGS),
        listed.assign(source=asking.source.name, rank=OF_SOURCE),
    )
    announced = pd.concat([claims["announced"], asking.stored["announced"]])
    placed = reacting(
        claims,
        exchange=asking.exchange,
        seen=night,
        reports=Reports(pd.DatetimeIndex(announced), volume),
    )
    return Lists(placed, unread)


def _in_other_quarters(rows: pd.DataFrame, others: pd.DataFrame) -> np.ndarray:
    """(D,) which rows are announced 45 days or more from each of the others."""
    apart = rows["announced"].to_numpy()[:, None] - others["announced"].to_numpy()[None, :]
    is_apart: np.ndarray = (np.abs(apart) >= _SAME_QUARTER).all(axis=1)
    return is_apart


def listed_events(asking: Asking, calendar: Calendar | None) -> Listed:
    """The source's dates, ascending, as `dates_of`, and why a list could not be read.

    Of a quarter in both lists the calendar's date counts.
    """
    if not asking.is_asked:
        return no_events(), None
    night = pd.Timestamp(asking.session)
    of_calendar = no_events()
    unread = None
    if calendar is not None:
        of_all, unread = calendar()
        of_calendar = of_all[of_all["symbol"] == asking.symbol].drop(columns="symbol")
    of_calendar = of_calendar.assign(scheduled=True)
    is_coming = (of_calendar["announced"] > night).any()
    has_newest = asking.stored["session"].between(night - _QUARTER, night).any()
    if not isinstance(asking.source, EarningsSource) or (is_coming and has_newest):
        return of_calendar, unread
    of_symbol, error = _list_of(
        asking.source,
        partial(asking.source.earnings_dates, asking.symbol),
        f"dates of {asking.symbol}",
        columns=["announced", "timing"],
    )
    others = of_symbol[_in_other_quarters(of_symbol, of_calendar)].assign(scheduled=True)
    both = joined(others, of_calendar).sort_values("announced", ignore_index=True)
    return both, error if error is not None else unread


def events_of_backtest(asking: Asking, *, volume: pd.Series) -> pd.DataFrame:
    """The earnings dates that a symbol's first night has: COLUMNS and source."""
    events = changes(asking, lists_of_night(asking, None, volume=volume))
    return valid_events(events).sort_values("session", ignore_index=True)


def doubts_of_lists(asking: Asking, lists: Lists) -> list[Finding]:
    """The finding on a list that could not be read, or on a symbol without a coming date.

    The second of a symbol that reported within a year; at once if its list is empty.
    """
    if lists.unread is not None:
        return [
            Finding(
                asking.session,
                UNREAD_EARNINGS,
                "flag",
                None,
                str(lists.unread),
            )
        ]
    ranks = set(lists.claims["rank"])
    if not asking.is_asked and OF_FILINGS not in ranks:
        return []
    night = pd.Timestamp(asking.session)
    listed = lists.claims["session"]
    sessions = pd.concat([listed, valid_events(asking.stored)["session"]])
    newest = sessions[sessions <= night].max()
    age = night - newest  # NaT: none
    is_recent = OF_SOURCE in ranks and age <= _LISTED_AFTER
    if is_recent or (listed > night).any() or not age <= _YEAR:
        return []
    detail = "The newest known earnings date is of this session; no list has a coming one."
    return [
        Finding(
            newest.date(),
            STALE_EARNINGS,
            "flag",
            None,
            detail,
        )
    ]


def changes(asking: Asking, lists: Lists) -> pd.DataFrame:
    """The rows, COLUMNS and source, that the night adds: new dates of each list, and withdrawals.

    A date without timing that is stored keeps the session that it was given first: the fits of a
    chain go on from flags that stay where they were.
    """
    night = pd.Timestamp(asking.session)
    claims = _as_stored(lists.claims, valid_events(asking.stored))
    usable = unseen(asking.stored, claims[claims["rank"] == OF_FILE])
    history = joined(asking.stored, usable)
    listed = claims[claims["rank"] == OF_SOURCE]
    coming = listed[listed["session"] > night]
    better = joined(valid_events(history), coming)
    filed = claims[claims["rank"] == OF_FILINGS]
    filed = filed[_in_other_quarters(filed, better)]
    history = joined(history, filed)
    valid = valid_events(history)
    # A date seen on an earlier night stays known from that night. Of the past, what is stored is
    # more exact than a list, but for the hour of an announcement.
    is_other = _in_other_quarters(listed, valid)
    is_timed = listed["announced"].isin(valid["announced"])
    is_new = is_other | is_timed | (listed["session"] > night)
    new = listed[is_new & ~listed["session"].isin(valid["session"])]
    added = joined(
        usable,
        filed,
        new,
        _withdrawn(history, coming, asking),
    )
    return added[[*COLUMNS, "source"]]


def _withdrawn(history: pd.DataFrame, coming: pd.DataFrame, asking: Asking) -> pd.DataFrame:
    """Rows that withdraw coming events of a source or filing, from this session on: they moved."""
    session = pd.Timestamp(asking.session)
    newest = history[history["session"] > session].drop_duplicates(KEY, keep="last")
    is_corrigible = newest["source"].isin((asking.source.name, FILINGS))
    is_valid = newest["known_rule"] != WITHDRAWN
    is_moved = ~newest["session"].isin(coming["session"]) & ~_in_other_quarters(newest, coming)
    return newest[is_corrigible & is_valid & is_moved].assign(
        source=asking.source.name, known_from=session, known_rule=WITHDRAWN
    )


def _as_stored(claims: pd.DataFrame, valid: pd.DataFrame) -> pd.DataFrame:
    """The claims, those without timing that are stored without one as they are stored."""
    untimed = valid[valid["timing"] == ""].drop_duplicates("announced", keep="last")
    stored = untimed.set_index("announced")
    is_stored = (claims["timing"] == "") & claims["announced"].isin(stored.index)
    names = ["session", "known_from", "known_rule"]
    placed = stored[names].reindex(claims["announced"]).set_axis(claims.index)
    claims = claims.assign(**claims[names].where(~is_stored, placed))
    return _by_session(claims)


def unseen(stored: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The `rows` that differ in a value from the newest stored one of their key, or are new."""
    newest = stored.drop_duplicates(KEY, keep="last")
    seen = pd.MultiIndex.from_frame(newest[COLUMNS])
    return rows[~pd.MultiIndex.from_frame(rows[COLUMNS]).isin(seen)]


def validity_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, in the order first seen, each valid from known_from to before `withdrawn_from`."""
    ending = rows["known_rule"] == WITHDRAWN
    ended = ending.astype("int64").groupby([rows["session"], rows["kind"]]).cumsum()
    rows = rows.assign(interval=ended - ending)  # a withdrawal belongs to the interval that it ends
    key = [*KEY, "interval"]
    ends = rows.loc[ending, [*key, "known_from"]].rename(columns={"known_from": "withdrawn_from"})
    intervals = (
        rows[~ending]
        .drop_duplicates(key, keep="last")
        .merge(ends, on=key, how="left")
        .drop(columns="interval")
    )
    valid = intervals["withdrawn_from"].isna()
    newer = (
        intervals[valid]
        .duplicated(["announced", "kind"], keep="last")
        .reindex(intervals.index, fill_value=False)
    )
    return intervals[~valid | ~newer]


def valid_events(rows: pd.DataFrame) -> pd.DataFrame:
    """Of event rows, in the order first seen, those that tonight may use."""
    intervals = validity_intervals(rows)
    return intervals.loc[intervals["withdrawn_from"].isna(), rows.columns]


def joined(*parts: pd.DataFrame) -> pd.DataFrame:
    """The rows of several frames; without the empty ones, of which pandas warns."""
    full = [rows for rows in parts if len(rows)]
    return pd.concat(full, ignore_index=True) if full else parts[0]
