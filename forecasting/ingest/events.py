"""Earnings dates: read from a file, mapped to the session that reacts, and usable from the day they were known."""

from collections.abc import Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.errors import BadDataError, UsageError
from forecasting.ingest.sources.files import Fault, Table, read_days, read_file
from forecasting.sessions import calendar

COLUMNS = ["session", "kind", "known_from", "announced", "timing", "known_rule"]
TIMINGS = ("bmo", "amc", "")
"""Before the market opens, after it closes, or not known."""

WITHDRAWN = "withdrawn"
"""The known_rule of a row that withdraws an event: origins from its known_from on may not use it."""

MOVED_WITHIN = 30
"""Most sessions between a coming date and the one that replaces it in a list; the next quarter's is twice as far."""

_KNOWN_AHEAD = 21  # sessions from which on an event counts whose first day is not known
_YEARS = range(1962, 2060)  # those of the calendars; an older or later day has no session that reacts

_HOUR = r"[T ]\d\d:.*$"  # of an instant, whose day counts

_BUNDLED = {"SBUX": "sbux_earnings.csv"}


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
    """The earnings dates of `csv:PATH`, or the bundled ones of the symbol, in the columns of `reacting`.

    Raises:
        UsageError: The option is not of the form csv:PATH, or names no file.
        BadDataError: The file cannot be read.
    """
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

    An event has moved when the list no longer names it but another coming one within MOVED_WITHIN sessions. An empty or
    short list withdraws no event.

    Args:
        coming: Earlier announcements of the same source for sessions after `session`: session, kind, announced, timing.
        listed: Its present list, as returned by `reacting`.
        session: The night's session: the first origin that may no longer use the old date.
        exchange: Exchange of the sessions.
    """
    days = calendar(exchange).sessions
    ahead = listed.loc[listed["session"] > pd.Timestamp(session), "session"]
    before, now = (days.searchsorted(pd.DatetimeIndex(when)) for when in (coming["session"], ahead))
    near = (np.abs(before[:, None] - now[None, :]) <= MOVED_WITHIN).any(axis=1)
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
