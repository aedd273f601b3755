"""Earnings dates of files, filings and sources: sessions that react, nights that may use them.

An event row is never changed: a later one of the same session and kind replaces it, or ends it
(`withdrawn`). Of a quarter in several lists the first one's date counts: a file's or the bundled
one, the stored one, a shipped filing's, the source's.
"""

import gzip
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.errors import BadDataError, SourceError, UsageError
from forecasting.ingest.bar_rules import STALE_EARNINGS, UNREAD_EARNINGS, Finding
from forecasting.ingest.sources import (
    EarningsCalendarSource,
    EarningsSource,
    Source,
    are_midnights,
)
from forecasting.ingest.sources.files import (
    Table,
    faults,
    first_faults,
    is_frame,
    misfits,
    read_days,
    read_file,
)
from forecasting.ingest.sources.plugins import called
from forecasting.sessions import DAY_KINDS, calendar

logger = logging.getLogger("forecasting.ingest")

KEY = ["session", "kind"]
VALUES = ["known_from", "known_rule", "announced", "timing"]
COLUMNS = [*KEY, *VALUES]
STORED = [*COLUMNS, "source", "first_seen_at"]
"""Columns of the dates that a night may use, and of the rows of table events."""

OF_YAHOO = "yahoo"
"""The value of --events that asks Yahoo for the dates, whatever source the bars have."""

TIMINGS = ("bmo", "amc", "")  # before the market opens, after it closes, or not known
WITHDRAWN = "withdrawn"
"""The known_rule of a row that withdraws an event, from its known_from on."""

# Sessions between a coming date and the one that replaces it; the next quarter's is twice as far
_MOVED_WITHIN = 30
_KNOWN_AHEAD = 21  # sessions from which on an event counts whose first day is not known
# Those of the calendars: an older or later day has no session that reacts.
_FIRST_DAY = date(1962, 1, 1)
_LAST_DAY = date(2059, 12, 31)
_HOUR = r"[T ]\d\d:.*$"  # of an instant, whose day counts
_BUNDLED = Path(str(files("forecasting.ingest") / "sbux_earnings.csv"))
_FILED = files("forecasting.ingest") / "filed_earnings.txt.gz"
_FILING_EXCHANGE = "XNYS"

FILINGS = "sec-8k"
"""Source of the days on which 505 US companies filed their results with the SEC (form 8-K, item
2.02), shipped."""

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
_SAME_QUARTER = pd.Timedelta(days=45)
# From one, two or three years after an earlier filing; 2.2% are further off
_ON_RHYTHM = pd.Timedelta(days=14)


def read_events_csv(path: Path, symbol: str = "") -> pd.DataFrame:
    """A symbol's earnings dates of a CSV: announced (naive midnight), timing, scheduled."""
    rows = _read_dates(path, symbol)
    earnings = rows[rows["kind"] == "earnings"]
    return earnings.drop(columns="kind").assign(scheduled=True).reset_index(drop=True)


def days_of_file(option: str, symbol: str) -> set[tuple[str, date]]:
    """Kind and day of the announced days of csv:PATH: the symbol's, and those without a symbol."""
    rows = _read_dates(_path(option), symbol)
    days = rows[rows["kind"] != "earnings"]
    return set(zip(days["kind"], days["announced"].dt.date, strict=True))


def _read_dates(path: Path, symbol: str) -> pd.DataFrame:
    """The symbol's rows of a CSV and the days of all: announced (naive midnight), timing, kind."""
    table = _table(path)
    rows = table.of_symbol(symbol)
    if table.places is not None and symbol:
        rows = pd.concat([rows, table.of_symbol("")])
    timing = rows["timing"].str.strip().str.lower()
    kind = rows.get("kind", pd.Series("", rows.index)).str.strip().str.lower()
    kind = kind.replace("", "earnings")
    announced, undated = read_days(
        rows["announced"].str.replace(_HOUR, "", regex=True), _FIRST_DAY, _LAST_DAY
    )
    untimed = faults(
        ~timing.isin(TIMINGS).to_numpy(), "expected the timing bmo, amc or empty", timing
    )
    kinds = ("earnings", *DAY_KINDS)
    unkind = faults(
        ~kind.isin(kinds).to_numpy(), f"expected the kind {', '.join(kinds)} or empty", kind
    )
    reasons = first_faults(
        misfits(rows),
        undated,
        untimed,
        unkind,
    )
    if len(reasons):
        raise UsageError(f"{table.name} {reasons.iloc[0]}. Correct that {rows.index.name}.")
    dates = {"announced": announced, "timing": timing.to_numpy(dtype=str), "kind": kind.to_numpy()}
    is_of_nobody = (kind == "earnings") & (rows.get("symbol", symbol) != symbol)
    return pd.DataFrame(dates)[~is_of_nobody.to_numpy()]


def _table(path: Path) -> Table:
    return read_file(
        path,
        "csv",
        "events csv:PATH",
        needed="events",
    )


def no_events() -> pd.DataFrame:
    """No earnings dates: columns announced, timing, scheduled."""
    never = pd.DatetimeIndex([]).as_unit("ns")
    return pd.DataFrame(
        {"announced": never, "timing": pd.Series(dtype=str), "scheduled": pd.Series(dtype=bool)}
    )


def nothing_stored() -> pd.DataFrame:
    """No stored event rows: STORED."""
    return reacting(no_events()).assign(source="", first_seen_at=pd.Timestamp(0, tz="UTC"))


def bundled_events(symbol: str) -> pd.DataFrame:
    """The shipped earnings dates of SBUX, 2010 on, as read_events_csv; none of another symbol."""
    return read_events_csv(_BUNDLED) if symbol == "SBUX" else no_events()


def filed_events(symbol: str, *, exchange: str = _FILING_EXCHANGE) -> pd.DataFrame:
    """Days of a US company's filings of results, as read_events_csv; scheduled if on its rhythm."""
    line = _filings().get(symbol) if exchange == _FILING_EXCHANGE else None
    if line is None:
        return no_events()
    first, *gaps = line.split()
    days = pd.DatetimeIndex(np.datetime64(first) + np.cumsum([0, *map(int, gaps)])).as_unit("ns")
    return pd.DataFrame({"announced": days, "timing": "", "scheduled": on_rhythm(days)})


@cache
def _filings() -> dict[str, str]:
    """By symbol, the first day and the days from each to the next."""
    text = gzip.decompress(_FILED.read_bytes()).decode()
    return dict(line.split(maxsplit=1) for line in text.splitlines() if not line.startswith("#"))


def on_rhythm(days: pd.DatetimeIndex) -> np.ndarray:
    """Whether each day, ascending, is of the first year or whole years after an earlier one."""
    after = days.to_numpy()[:, None] - days.to_numpy()[None, :]
    year = np.timedelta64(365, "D")
    is_after = [np.abs(after - years * year) <= _ON_RHYTHM for years in (1, 2, 3)]
    return np.any(is_after, axis=(0, 2)) | (after.max(axis=1) < year - _ON_RHYTHM)


def check_events(option: str | None, symbols: Sequence[str]) -> str:
    """The name of what --events names, once its file is read and has dates of each symbol alone."""
    if option is None or option == OF_YAHOO:
        return option or ""
    path = _path(option)
    if len(symbols) == 1:
        read_events_csv(path, symbols[0])
    elif _table(path).places is None and len(read_events_csv(path)):
        raise UsageError(
            f"Expected a column symbol in {path.name}, whose earnings dates would count for each "
            f"of {len(symbols)} symbols. Add it, or run one symbol with this file."
        )
    return path.name


def _path(option: str) -> Path:
    if is_frame(option):
        return Path(option)
    kind, _, path = option.partition(":")
    if kind != "csv" or not path:
        raise UsageError(
            f"Expected events as csv:PATH, with columns announced and timing, or {OF_YAHOO}; found "
            f"{option!r:.60}."
        )
    return Path(path)


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
    """COLUMNS, ascending: sessions that react to the events, first origins that may use each.

    After the close the next session reacts, else the announcement's own, or the next one traded.
    Reactions after the day `seen`, on which a live source listed them, are known from then on;
    others 21 sessions ahead, as companies announce a date weeks before; one that was not scheduled
    once it has happened.
    """
    days = calendar(exchange).sessions
    # Some calendars end this year; a later session is not known
    events = events[events["announced"] < days[-1]]
    announced = pd.DatetimeIndex(events["announced"]).as_unit("ns")
    at = days.searchsorted(announced)
    late = (events["timing"] == "amc").to_numpy(copy=True)
    untimed = (events["timing"] == "").to_numpy()
    if reports is not None and untimed.any():
        late[untimed] = reports.come_late(at[untimed], days)
    at += late & (days[at] == announced)  # after the close: the session after it
    is_scheduled = events.get("scheduled", pd.Series(True, events.index)).to_numpy(dtype=bool)
    known_from = days[np.where(is_scheduled, (at - _KNOWN_AHEAD).clip(min=0), at)]
    known_rule = np.where(is_scheduled, f"{_KNOWN_AHEAD} sessions ahead", "unscheduled")
    if seen is not None:
        is_seen = days[at] > pd.Timestamp(seen)
        known_from = known_from.where(~is_seen, days[days.searchsorted(pd.Timestamp(seen))])
        known_rule = np.where(is_seen, "seen", known_rule)
    columns = {
        "session": days[at],
        "kind": "earnings",
        "known_from": known_from,
        "known_rule": known_rule,
        "announced": announced,
        "timing": events["timing"].to_numpy(),
    }
    texts = dict.fromkeys(("kind", "known_rule", "timing"), str)
    rows = pd.DataFrame(columns).astype(texts).drop_duplicates("session", keep="last")
    return rows.sort_values("session", ignore_index=True)


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


Calendar = Callable[[], Mapping[str, pd.DataFrame] | SourceError]
"""Returns dates by symbol (columns announced, timing), or why the calendar could not be read."""


OF_FILE, OF_FILINGS, OF_SOURCE = range(3)
"""Ranks of claims: a file's or the bundled dates, days of filings, dates as a source lists them."""


@dataclass(frozen=True)
class Lists:
    """The earnings dates that a night has."""

    claims: pd.DataFrame  # STORED as they would be, and `rank`, ascending
    seen_at: datetime  # when they were read, aware UTC
    unread: SourceError | None = None  # why one of the source's lists could not be read


def calendar_of(symbols: Sequence[Asking]) -> Calendar:
    """The calendar for these symbols of one source; empty for a source without one."""
    asked = [one for one in symbols if one.is_asked]

    @cache
    def calendar() -> dict[str, pd.DataFrame] | SourceError:
        if not asked or not isinstance(source := asked[0].source, EarningsCalendarSource):
            return {}
        names = [one.symbol for one in asked]
        sessions = [one.session for one in asked]
        request = partial(
            source.earnings_calendar,
            names,
            min(sessions) - _BEFORE,
            max(sessions) + _AHEAD,
        )
        rows = _list_of(
            source,
            request,
            f"calendar of {len(names)} symbols",
            columns=("symbol", "announced", "timing"),
        )
        if isinstance(rows, SourceError):
            return rows
        return {
            str(symbol): dates.drop(columns="symbol") for symbol, dates in rows.groupby("symbol")
        }

    return calendar


def _list_of(
    source: object, request: Callable[[], pd.DataFrame], what: str, *, columns: Sequence[str]
) -> pd.DataFrame | SourceError:
    """A source's list, or the logged error of code that fails or returns something else."""
    try:
        with called(source):
            listed = request()
        has_columns = isinstance(listed, pd.DataFrame) and set(columns) <= set(listed.columns)
        if not (
            has_columns
            and are_midnights(listed["announced"])
            and set(listed["timing"].map(str)) <= set(TIMINGS)
        ):
            raise BadDataError(
                f"Expected earnings dates with the columns {', '.join(columns)}, announced as "
                "naive midnights, timing as bmo, amc or empty."
            )
    except SourceError as error:
        logger.warning("no earnings %s: %s", what, error)
        return error
    return listed


def lists_of_night(
    asking: Asking, calendar: Calendar | None, *, volume: pd.Series, seen_at: datetime
) -> Lists:
    """The earnings dates of a file or bundled, of filings of other quarters, and of the source.

    Without a calendar the source is asked only if the others end.
    """
    night = asking.session
    if asking.file:
        usable = read_events_csv(_path(asking.file), asking.symbol)
    else:
        usable = bundled_events(asking.symbol)
    filed = filed_events(asking.symbol, exchange=asking.exchange)
    newest = max([*usable["announced"], *filed["announced"]], default=pd.Timestamp.min)
    listed = no_events()
    unread = None
    if calendar is not None or newest <= pd.Timestamp(night):
        listed, unread = listed_events(asking, calendar)
    filed = filed[_in_other_quarters(filed, usable["announced"])]
    # Of filings no timing is known
    stated = dict(zip(listed["announced"], listed["timing"], strict=True))
    timing = [stated.get(day, "") for day in filed["announced"]]
    filed = filed.assign(timing=np.array(timing, dtype=str))
    announced = [dates["announced"] for dates in (usable, filed, listed, asking.stored)]
    reports = Reports(pd.DatetimeIndex(np.concatenate(announced)), volume)
    sources = [
        (OF_FILE, asking.file or "bundled", usable, None),
        (OF_FILINGS, FILINGS, filed, None),
        (OF_SOURCE, asking.source.name, listed, night),
    ]
    claims = []
    for rank, source, dates, seen in sources:
        placed = reacting(
            dates,
            exchange=asking.exchange,
            seen=seen,
            reports=reports,
        )
        claims.append(placed.assign(source=source, first_seen_at=pd.Timestamp(seen_at), rank=rank))
    return Lists(_joined(*claims), seen_at, unread)


def _in_other_quarters(rows: pd.DataFrame, announced: pd.Series) -> np.ndarray:
    """(D,) which rows are announced 45 days or more from each of the other days."""
    apart = np.abs(rows["announced"].to_numpy()[:, None] - announced.to_numpy()[None, :])
    is_apart: np.ndarray = (apart >= _SAME_QUARTER).all(axis=1)
    return is_apart


def listed_events(
    asking: Asking, calendar: Calendar | None
) -> tuple[pd.DataFrame, SourceError | None]:
    """The source's dates, ascending (columns announced, timing), and why a list could not be read.

    Of a quarter in both lists the calendar's date counts.
    """
    if not asking.is_asked:
        return no_events(), None
    night = pd.Timestamp(asking.session)
    dates = {} if calendar is None else calendar()
    unread = None
    if isinstance(dates, SourceError):
        unread = dates
        dates = {}
    of_calendar = dates.get(asking.symbol, no_events())
    is_coming = (of_calendar["announced"] > night).any()
    has_newest = asking.stored["session"].between(night - _QUARTER, night).any()
    if not isinstance(asking.source, EarningsSource) or (is_coming and has_newest):
        return of_calendar, unread
    of_symbol = _list_of(
        asking.source,
        partial(asking.source.earnings_dates, asking.symbol),
        f"dates of {asking.symbol}",
        columns=("announced", "timing"),
    )
    if isinstance(of_symbol, SourceError):
        return of_calendar, of_symbol
    others = of_symbol[_in_other_quarters(of_symbol, of_calendar["announced"])]
    return _joined(others, of_calendar).sort_values("announced", ignore_index=True), unread


def events_of_backtest(asking: Asking, *, volume: pd.Series) -> pd.DataFrame:
    """The earnings dates that a symbol's first night has, as `reacting`, with a column source."""
    lists = lists_of_night(
        asking,
        None,
        volume=volume,
        seen_at=datetime.fromtimestamp(0, UTC),
    )
    events = valid_events(changes(asking, lists))[[*COLUMNS, "source"]]
    return events.sort_values("session", ignore_index=True)


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
    """The rows, STORED, that the night adds: new dates of each list, and withdrawals.

    A date without timing that is stored keeps the session that it was given first: the fits of a
    chain go on from flags that stay where they were.
    """
    night = pd.Timestamp(asking.session)
    claims = _as_stored(lists.claims, valid_events(asking.stored))
    usable = unseen(asking.stored, claims[claims["rank"] == OF_FILE])
    history = _joined(asking.stored, usable)
    listed = claims[claims["rank"] == OF_SOURCE]
    coming = listed[listed["session"] > night]
    better = pd.concat([valid_events(history)["announced"], coming["announced"]])
    filed = claims[claims["rank"] == OF_FILINGS]
    filed = filed[_in_other_quarters(filed, better)]
    history = _joined(history, filed)
    valid = valid_events(history)
    # A date seen on an earlier night stays known from that night. Of the past, what is stored is
    # more exact than a list, but for the hour of an announcement.
    is_other = _in_other_quarters(listed, valid["announced"])
    is_timed = listed["announced"].isin(valid["announced"])
    is_new = is_other | is_timed | (listed["session"] > night)
    new = listed[is_new & ~listed["session"].isin(valid["session"])]
    ended = _withdrawn(history, coming["session"], asking)
    ended = ended.assign(source=asking.source.name, first_seen_at=pd.Timestamp(lists.seen_at))
    return _joined(
        usable,
        filed,
        new,
        ended,
    )[STORED]


def _withdrawn(history: pd.DataFrame, coming: pd.Series, asking: Asking) -> pd.DataFrame:
    """Rows that withdraw coming events of a source or filing, from this session on: they moved."""
    session = pd.Timestamp(asking.session)
    newest = history[history["session"] > session].drop_duplicates(KEY, keep="last")
    is_corrigible = newest["source"].isin((asking.source.name, FILINGS))
    announced = newest[is_corrigible & (newest["known_rule"] != WITHDRAWN)]
    days = calendar(asking.exchange).sessions
    before = days.searchsorted(pd.DatetimeIndex(announced["session"]))
    now = days.searchsorted(pd.DatetimeIndex(coming))
    near = (np.abs(before[:, None] - now[None, :]) <= _MOVED_WITHIN).any(axis=1)
    moved = announced[near & ~announced["session"].isin(coming).to_numpy()]
    return moved.assign(known_from=session, known_rule=WITHDRAWN)


def _as_stored(claims: pd.DataFrame, valid: pd.DataFrame) -> pd.DataFrame:
    """The claims, those without timing that are stored without one as they are stored."""
    untimed = valid[valid["timing"] == ""].drop_duplicates("announced", keep="last")
    stored = untimed.set_index("announced")
    is_stored = (claims["timing"] == "") & claims["announced"].isin(stored.index)
    if not is_stored.any():
        return claims
    claims = claims.copy()
    for name in ("session", "known_from", "known_rule"):
        claims.loc[is_stored, name] = claims.loc[is_stored, "announced"].map(stored[name])
    claims = claims.drop_duplicates(["rank", "session"], keep="last")
    return claims.sort_values(["rank", "session"], ignore_index=True)


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
    """Of stored rows those that tonight may use, STORED."""
    intervals = validity_intervals(rows.sort_values(["first_seen_at", "session"], kind="stable"))
    return intervals.loc[intervals["withdrawn_from"].isna(), STORED]


def _joined(*parts: pd.DataFrame) -> pd.DataFrame:
    """The rows of several frames; without the empty ones, of which pandas warns."""
    full = [rows for rows in parts if len(rows)]
    return pd.concat(full, ignore_index=True) if full else parts[0]
