"""Earnings dates: read from a file, mapped to the session that reacts, and usable from the day they were known."""

import csv
import io
import re
from collections.abc import Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from forecasting.errors import BadDataError, UsageError
from forecasting.ingest.sources.regular_file import form_of, read_regular, text_of
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

_BUNDLED = {"SBUX": "sbux_earnings.csv"}


def read_events_csv(path: Path) -> pd.DataFrame:
    """Earnings dates of a CSV: columns announced (naive midnight), timing (`bmo`, `amc` or empty), first_seen (or NaT).

    Args:
        path: A file with the header `announced,timing` or `announced,timing,first_seen_at`; dates as 2024-01-30.

    Raises:
        UsageError: No such file, no regular one, or too large.
        BadDataError: Not UTF-8, a column is missing, or a line holds no date or another timing; the message names the
            line and quotes no cell.
    """
    text, damaged_line = text_of(read_regular(path, "--events csv:PATH"))
    if damaged_line is not None:
        raise BadDataError(f"Expected UTF-8 in {path.name}; found other bytes in line {damaged_line}. Correct it.")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        if not {"announced", "timing"} <= set(rows.fieldnames or ()):
            raise BadDataError(
                f"Expected the columns announced and timing in {path.name}; found {_columns(rows.fieldnames)}. "
                "Write one line per earnings date, for example 2024-01-30,amc."
            )
        return _events([_event(row, rows.line_num, path.name) for row in rows])
    except csv.Error as error:  # a cell of more than 128 KiB, a NUL
        raise BadDataError(f"{path.name} line {rows.line_num} cannot be read: {error}. Correct it.") from None


def no_events() -> pd.DataFrame:
    """No earnings dates, as read_events_csv."""
    return _events([])


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
    kind, _, path = option.partition(":")
    if kind != "csv" or not path:
        raise UsageError(
            "Expected --events csv:PATH, a file with the columns announced and timing; found another form."
        )
    return reacting(read_events_csv(Path(path)), exchange=exchange)


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


def _event(row: dict[str, str], line: int, name: str) -> tuple[date, str, date | None]:
    timing = (row["timing"] or "").strip().lower()
    if timing not in TIMINGS:
        raise BadDataError(
            f"{name} line {line}: expected the timing bmo, amc or empty; found {form_of(timing)}. Correct that line."
        )
    first_seen = (row.get("first_seen_at") or "").strip()
    return _day(row["announced"], line, name), timing, _day(first_seen, line, name) if first_seen else None


def _day(text: str | None, line: int, name: str) -> date:
    try:
        day = date.fromisoformat(re.sub(r"[T ]\d\d:.*$", "", (text or "").strip()))
    except ValueError:
        day = date.min
    if day.year not in _YEARS:
        raise BadDataError(
            f"{name} line {line}: expected a date like 2024-01-30, from {_YEARS[0]} to {_YEARS[-1]}; found "
            f"{form_of(text or '')}. Correct that line."
        )
    return day


def _columns(names: Sequence[str] | None) -> str:
    """The columns of an event file among `names`, and how many others there are."""
    known = [name for name in names or () if name in ("announced", "timing", "first_seen_at")]
    others = len(names or ()) - len(known)
    more = [f"{others} other{'s' * (others > 1)}"] if others else []
    return ", ".join([*known, *more]) if names else "an empty file"


def _events(rows: list[tuple[date, str, date | None]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["announced", "timing", "first_seen"])
    frame["announced"] = pd.to_datetime(frame["announced"]).dt.as_unit("ns")
    frame["first_seen"] = pd.to_datetime(frame["first_seen"]).dt.as_unit("ns")
    frame["timing"] = frame["timing"].astype(str)
    return frame
