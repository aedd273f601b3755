"""Earnings dates: announced by a file or a source, else shipped with the package.

Rows of table events are appended, never changed: a later row of the same session replaces one, or
ends it (`withdrawn`). Of a quarter the newest announcement counts, and a shipped date only where
nothing was announced. Which sessions react to them is decided when they are stored.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, partial

import numpy as np
import pandas as pd

from forecasting.errors import BadDataError, SourceError
from forecasting.ingest.bar_rules import (
    QUIET_EARNINGS,
    UNREAD_EARNINGS,
    Finding,
)
from forecasting.ingest.event_files import (
    OF_YAHOO,
    TIMINGS,
    no_events,
    path_of,
    read_events_csv,
    shipped_events,
)
from forecasting.ingest.sources import EarningsSource, Source, are_midnights
from forecasting.ingest.sources.plugins import called
from forecasting.losses import Floats
from forecasting.sessions import OLDEST_DAY, calendar

logger = logging.getLogger("forecasting.ingest")

KEY = ["session", "kind"]
VALUES = ["known_from", "known_rule", "announced", "timing"]
COLUMNS = [*KEY, *VALUES]
STORED = [*COLUMNS, "source", "first_seen_at"]
"""Columns of the dates that a night may use, and of the rows of table events."""

WITHDRAWN = "withdrawn"
"""The known_rule of a row that withdraws an event, from its known_from on."""

FOUND = "volume"
"""The known_rule of a past report that nobody announced and that the volume shows."""

RHYTHM = "rhythm"
"""The source of the reports that nobody announced: the company's own rhythm of reports."""

EXPECTED = "expected"
"""The known_rule of a report of that source that is expected around its session."""

SHIPPED = "shipped"
"""Source of the dates that ship with the package; benchmarks/earnings.py made their list."""

_LISTS = (SHIPPED, "sec-8k", "bundled")  # the first one, and what it was before

_KNOWN_AHEAD = 21  # sessions from which on an event counts whose first day is not known

# Past ones whose median says when the next is due; of 1 to 16 and all, most right on 95 stocks
_REPORTS = 8
# Sessions of bars before any origin: 186 of warm-up and 250 rows, the last one its own
_FIRST_ORIGIN = 435

_YEAR = timedelta(days=365)
_DAY = timedelta(days=1)

# A date just past is asked again: it may have been moved, or have its hour by now.
_WEEK = timedelta(days=7)
# Between two known reports that are further apart, a quarter's report is missing.
_LONGEST_QUARTER = timedelta(days=135)

REACTION = 1.3
"""Times the median volume of the 21 sessions before from which on volume reacts: on 93% of the days
of reports of 396 stocks."""
_BEFORE_REPORT = 21
# Dates that are closer to each other are of one quarter
_SAME_QUARTER = pd.Timedelta(days=45)


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
    dates: pd.DataFrame,
    *,
    exchange: str = "XNYS",
    seen: date | None = None,
    reports: Reports | None = None,
) -> pd.DataFrame:
    """The dates, columns of `dates_of`, with COLUMNS, ascending by session.

    That is the session that reacts, and the first origin that may use each. After the close the
    next session reacts, else the announcement's own, or the next one traded. Reactions after the
    day `seen`, on which a live source listed them, are known from then on; others 21 sessions
    ahead, as companies announce a date weeks before; one that was not scheduled once it has
    happened.
    """
    days = calendar(exchange).sessions
    # Some calendars end this year; a later session is not known
    dates = dates[dates["announced"] < days[-1]]
    announced = pd.DatetimeIndex(dates["announced"])
    at = days.searchsorted(announced)
    late = (dates["timing"] == "amc").to_numpy(copy=True)
    untimed = (dates["timing"] == "").to_numpy()
    if reports is not None and untimed.any():
        late[untimed] = reports.come_late(at[untimed], days)
    at += late & (days[at] == announced)  # after the close: the session after it
    is_scheduled = dates["scheduled"].to_numpy()
    known_from = days[np.where(is_scheduled, (at - _KNOWN_AHEAD).clip(min=0), at)]
    known_rule = np.where(is_scheduled, f"{_KNOWN_AHEAD} sessions ahead", "unscheduled")
    if seen is not None:
        is_seen = days[at] > pd.Timestamp(seen)
        known_from = known_from.where(~is_seen, days[days.searchsorted(pd.Timestamp(seen))])
        known_rule = np.where(is_seen, "seen", known_rule)
    placed = dates.assign(
        session=days[at], kind="earnings", known_from=known_from, known_rule=known_rule
    )
    last = placed.drop_duplicates("session", keep="last")
    return last.sort_values("session", ignore_index=True)


def nothing_stored() -> pd.DataFrame:
    """No event rows: COLUMNS and source."""
    return reacting(no_events()).assign(source="")


@dataclass(frozen=True)
class Announced:
    """The earnings dates of a symbol that a file or a source has announced."""

    source: str  # as stored
    dates: pd.DataFrame  # columns announced (naive midnight), timing
    seen: date | None = None  # the session of a night on which a live source listed them
    unread: SourceError | None = None  # why the source's list could not be read
    # The day from which on the list was asked; that it lacks an older date says nothing
    since: date = OLDEST_DAY


def announced_by(
    option: str | None,
    source: Source,
    exchanges: Mapping[str, str],
    session: date,
    *,
    stored: Callable[[str], pd.DataFrame],
) -> Callable[[str], Announced]:
    """Return a function that says what is announced of a symbol.

    The file of --events decides; without it the source is asked. The source is asked once for all
    symbols, when the first of them is.

    Args:
        option: The value of --events.
        source: The source of the dates, if no file has them.
        exchanges: The exchange of each symbol.
        session: The night's.
        stored: Reads the rows STORED of a symbol, ascending by first_seen_at.
    """
    if option is not None and option != OF_YAHOO:
        path = path_of(option)
        return lambda symbol: Announced(option, read_events_csv(path, symbol))
    if not isinstance(source, EarningsSource):
        return lambda symbol: Announced(source.name, no_events(), session)

    @cache
    def listed() -> tuple[Mapping[str, date], pd.DataFrame, SourceError | None]:
        since = {}
        for symbol, exchange in exchanges.items():
            valid = valid_events(stored(symbol))
            shipped = shipped_events(symbol, exchange=exchange)
            since[symbol] = asked_since(joined(valid, shipped)["announced"], session)
        return since, *_list_of(source, since, session)

    def of_symbol(symbol: str) -> Announced:
        since, dates, unread = listed()
        symbol_dates = dates[dates["symbol"] == symbol].drop(columns="symbol")
        return Announced(source.name, symbol_dates, session, unread, since[symbol])

    return of_symbol


def asked_since(known: pd.Series, session: date) -> date:
    """Return the day from which on a source is asked for the dates of a symbol.

    This is the day after the newest known report, at most a year and at least a week before the
    session. If reports are missing within that year, it is the day after the last report before
    them.
    """
    newest = session - _YEAR
    for day in sorted(known.dt.date):
        if day > newest + _LONGEST_QUARTER:
            break
        newest = max(newest, day)
    return min(newest + _DAY, session - _WEEK)


def _list_of(
    source: EarningsSource, since: Mapping[str, date], session: date
) -> tuple[pd.DataFrame, SourceError | None]:
    """Return a source's list, with columns symbol, announced and timing.

    If the source fails, the list is empty and comes with the error.
    """
    try:
        with called(source):
            listed = source.earnings_dates(since, session)[["symbol", "announced", "timing"]]
            is_sound = are_midnights(listed["announced"]) and listed["timing"].isin(TIMINGS).all()
        if not is_sound:
            raise BadDataError(
                "Expected earnings dates announced at naive midnights, with the timing bmo, amc or "
                "empty."
            )
    except SourceError as error:
        logger.warning("no earnings dates of %d symbols: %s", len(since), error)
        return no_events().assign(symbol=""), error
    return listed, None


def new_events(
    stored: pd.DataFrame,
    announced: Announced,
    *,
    symbol: str,
    exchange: str,
    session: date,
    volume: pd.Series,
) -> pd.DataFrame:
    """Return the rows, COLUMNS and source, that a night adds to the stored ones of a symbol.

    They are dates that are announced anew; withdrawals, from this session on, of dates of the same
    quarters that are announced no more, and of shipped ones that are no longer shipped; and the
    shipped dates of other quarters. A date without timing that is stored keeps its session: the
    fits of a chain go on from flags that stay where they were.

    Args:
        stored: Rows STORED of the symbol, ascending by first_seen_at.
        announced: What a file or a source has of it.
        symbol: Whose dates.
        exchange: Its exchange.
        session: The night's.
        volume: By session, from which the hour of a date without timing is learned.
    """
    valid = valid_events(stored)
    dates = announced.dates.assign(scheduled=True)
    listed = shipped_events(symbol, exchange=exchange)
    shipped = listed[~_replaced(listed, dates, since=announced.since)]
    known = pd.concat([rows["announced"] for rows in (dates, shipped, stored)])
    place = partial(reacting, exchange=exchange, reports=Reports(pd.DatetimeIndex(known), volume))
    own = place(dates, seen=announced.seen)
    is_known = _pairs(own).isin(_pairs(valid)) | own["session"].isin(valid["session"])
    is_kept = valid["announced"].isin(own["announced"]) | valid["session"].isin(own["session"])
    is_moved = _replaced(valid, own, since=announced.since)
    is_corrected = valid["source"].isin(_LISTS) & ~valid["announced"].isin(listed["announced"])
    is_withdrawn = ~is_kept & (is_moved | is_corrected)
    shipped = shipped[_in_other_quarters(shipped, valid[~is_withdrawn])]
    added = joined(
        own[~is_known].assign(source=announced.source),
        place(shipped).assign(source=SHIPPED),
        valid[is_withdrawn].assign(
            source=announced.source, known_from=pd.Timestamp(session), known_rule=WITHDRAWN
        ),
    )
    return added[[*COLUMNS, "source"]]


def _pairs(rows: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(rows[["announced", "timing"]])


def _replaced(rows: pd.DataFrame, dates: pd.DataFrame, *, since: date) -> np.ndarray:
    """Return (D,) whether a list announces another date for the quarter of each row.

    A row from before `since` was not asked again: only an older date of the list replaces it.
    """
    is_older = (rows["announced"] < pd.Timestamp(since)).to_numpy()
    older_dates = dates[dates["announced"] < pd.Timestamp(since)]
    apart = _in_other_quarters(rows, dates)
    return ~np.where(is_older, _in_other_quarters(rows, older_dates), apart)


def _in_other_quarters(rows: pd.DataFrame, others: pd.DataFrame) -> np.ndarray:
    """(D,) which rows are announced 45 days or more from each of the others."""
    apart = rows["announced"].to_numpy()[:, None] - others["announced"].to_numpy()[None, :]
    is_apart: np.ndarray = (np.abs(apart) >= _SAME_QUARTER).all(axis=1)
    return is_apart


def doubts(
    announced: Announced, events: pd.DataFrame, session: date, volume: pd.Series
) -> list[Finding]:
    """Return the findings on a symbol's earnings dates that are known on a session.

    A list that could not be read is a finding. Otherwise the newest two listed dates are a finding
    if the volume, by session, reacted to neither.
    """
    if announced.unread is not None:
        return [Finding(session, UNREAD_EARNINGS, "flag", None, str(announced.unread))]
    known = valid_events(events).sort_values("session")
    # An expected report is no listed date that could be wrong.
    is_listed = (known["source"] != RHYTHM) & (known["session"] <= pd.Timestamp(session))
    return _quiet(known[is_listed], volume)


def reaction_sizes(volume: pd.Series, announced: pd.DatetimeIndex) -> Floats:
    """(n,) times its usual that volume, by session, was on each day or the session after it.

    The larger of both; NaN where one is unknown or not there yet.
    """
    times = (volume / volume.rolling(_BEFORE_REPORT).median().shift()).to_numpy()
    at = volume.index.searchsorted(announced)
    found = np.full(len(announced), np.nan)
    inside = at + 1 < len(times)
    found[inside] = np.maximum(times[at[inside]], times[at[inside] + 1])
    return found


def _quiet(past: pd.DataFrame, volume: pd.Series) -> list[Finding]:
    """The finding on the newest two reports after which there is a session.

    Where volume reacted to neither.
    """
    followed = past[volume.index.searchsorted(past["announced"]) < len(volume) - 1].tail(2)
    times = reaction_sizes(volume, pd.DatetimeIndex(followed["announced"]))
    if len(times) < 2 or not (times <= REACTION).all():  # NaN: not known
        return []
    detail = f"Volume was at most {REACTION} times its usual after the newest two listed reports."
    newest = followed["session"].iloc[-1].date()
    return [Finding(newest, QUIET_EARNINGS, "flag", times[-1], detail)]


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
    """The events that tonight may use, of rows in the order first seen."""
    intervals = validity_intervals(rows)
    return intervals.loc[intervals["withdrawn_from"].isna(), rows.columns]


def joined(*parts: pd.DataFrame) -> pd.DataFrame:
    """The rows of several frames; without the empty ones, of which pandas warns."""
    full = [rows for rows in parts if len(rows)]
    return pd.concat(full, ignore_index=True) if full else parts[0]
