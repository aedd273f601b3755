"""The sentences of the page: what is expected, what to be warned of, what is special about a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import pandas as pd

from forecasting.report.data import ReportData, as_day
from forecasting.report.track_record import TrackRecord, skills
from forecasting.report.units import GAP, instant, long_day, percent, short_day, unit_of
from forecasting.sessions import early_closes, is_session, shift

TARGETS = {"volume": "daily volume", "close": "closing price", "range": "daily range, log(high / low)"}
_BASELINES = {"last": "last value", "har": "HAR", "ets": "ETS"}


@dataclass(frozen=True)
class Notice:
    """A banner at the top of the page.

    Attributes:
        tone: warn when the forecast deserves less trust than usual, info when it only is something else than it looks.
        title: Two or three words.
        text: A sentence or two.
    """

    tone: Literal["warn", "info"]
    title: str
    text: str


def headline(data: ReportData) -> dict[str, str]:
    """The one sentence of the page, in parts that can be set apart: subject, median, day, interval, comparison."""
    unit, row = unit_of(data), data.rows.iloc[0]
    verb = {
        "volume": "is expected to trade",
        "close": "is expected to close at",
        "range": "is expected to move over a range of",
    }[data.target]
    return {
        "subject": f"{data.symbol} {verb}",
        "median": unit.text(float(row["q50"])),
        "day": f"on {long_day(row['target_session'])}",
        "interval": f"{unit.span_text(float(row['q10']), float(row['q90'])).removesuffix(' shares')}",
        "comparison": _comparison(data, float(row["q50"])),
    }


def sentence(data: ReportData) -> str:
    """The same as plain text."""
    parts = headline(data)
    interval = f"(80{GAP}% interval {parts['interval']})"
    return f"{parts['subject']} {parts['median']} {parts['day']} {interval}, {parts['comparison']}."


def record_sentence(data: ReportData, record: TrackRecord) -> str:
    """How the forecasts one session ahead did so far; empty before the first score."""
    ahead = record.ahead(1)
    if ahead.empty:
        return ""
    n, unit = len(ahead), unit_of(data)
    hits = int(ahead["inside_80"].astype(bool).sum())
    times = f"its last {n} forecasts" if n > 1 else "its only forecast so far"
    text = (
        f"Of {times} one session ahead, {hits} landed inside the 80{GAP}% interval"
        f" and the median missed by {unit.brief(float(ahead['error'].abs().mean()))} on average"
    )
    found = skills(record)
    best = found[found["horizon"] == 1].sort_values("baseline_pinball") if len(found) else found
    if best.empty:
        return text + "."
    skill, name = float(best["skill_mae"].iloc[0]), baseline_label(str(best["baseline"].iloc[0]))
    if not abs(skill) >= 0.005:
        return f"{text}: about as much as the best baseline there, {name}."
    side = "less" if skill > 0 else "more"
    return f"{text}: {percent(abs(skill))} {side} than the best baseline there, {name}."


def notices(data: ReportData) -> list[Notice]:
    """What a reader must know before the numbers, gravest first."""
    found: list[Notice] = []
    rows, run = data.rows, data.run
    if run.get("error"):
        found.append(Notice("warn", "Part of the night failed", str(run["error"])))
    if data.unfinished is not None:
        found.append(_unfinished(data, data.unfinished))
    fallback = rows[rows["status"] == "fallback"]
    if len(fallback):
        reasons = "; ".join(dict.fromkeys(str(reason) for reason in fallback["reason"] if reason))
        which = "A baseline speaks" if len(fallback) == len(rows) else f"A baseline speaks for {len(fallback)} sessions"
        found.append(Notice("warn", "Fallback", f"{which} instead of the network: {reasons or 'no reason was given'}."))
    beyond = _beyond(rows)
    if beyond:
        found.append(Notice("info", "Never seen before", beyond))
    kinds = set(rows["kind"])
    if "late" in kinds:
        opened = short_day(rows["target_session"].iloc[0])
        text = f"Written at {instant(rows['issued_at'].iloc[0])}, after {opened} had opened: it is not scored as live."
        found.append(Notice("warn", "Issued late", text))
    if "replay" in kinds:
        text = "Made afterwards for a past session, from what was known then; never counted as a live forecast."
        found.append(Notice("info", "Replay", text))
    if str(data.fetch["source"]) == "sample":
        found.append(Notice("info", "Sample data", f"{data.fetch['title']}. Real bars, but not of today."))
    if run.get("note"):
        found.append(Notice("info", "Note", str(run["note"])))
    return found


def day_notes(data: ReportData, session: date) -> list[str]:
    """What is special about a session: earnings, half day, expiry, the first after a holiday."""
    events = data.events
    notes = [str(kind) for day, kind in zip(events["session"], events["kind"], strict=True) if as_day(day) == session]
    if early_closes(session, session, data.exchange):
        notes.append("half day")
    if session.weekday() == 4 and 15 <= session.day <= 21:
        notes.append("triple witching" if session.month % 3 == 0 else "options expiry")
    if _follows_holiday(session, data.exchange):
        notes.append("after a holiday")
    return list(dict.fromkeys(notes))


def baseline_label(name: str) -> str:
    """A baseline's name in words."""
    return _BASELINES.get(name, name.replace("_", " "))


def _comparison(data: ReportData, median: float) -> str:
    unit, last_day = unit_of(data), data.known.index[-1]
    last = f"{last_day:%A}'s {unit.brief(data.last_value)}"
    if data.target == "close":
        return f"{_against(median, data.last_value, decimals=1)} {last}"
    usual = f"the usual {unit.brief(data.usual)} (median of 20 sessions)"
    return f"{_against(median, data.last_value)} {last} and {_against(median, data.usual)} {usual}"


def _against(value: float, other: float, *, decimals: int = 0) -> str:
    if other == 0:
        return "against"
    change = value / other - 1.0
    if round(abs(change), 2 + decimals) == 0:
        return "about the same as"
    return f"{percent(abs(change), decimals=decimals)} {'above' if change > 0 else 'below'}"


def _unfinished(data: ReportData, run: Mapping[str, Any]) -> Notice:
    told = str(run.get("error") or run.get("note") or "")
    title = "Data late" if run["status"] == "late" else "Newest night failed"
    origin, missing = long_day(data.origin), long_day(as_day(run["as_of"]))
    return Notice("warn", title, f"{told} These forecasts are from {origin}; there are none from {missing} yet.")


def _beyond(rows: pd.DataFrame) -> str:
    """The inputs that no training session came near, in a sentence; empty for none."""
    told = str(rows["outside"].iloc[0]) if "outside" in rows else ""
    named = [part.rpartition(" ") for part in told.split(", ") if part]
    inputs = [f"{name} on {session}" for name, _, session in named]
    if not inputs:
        return ""
    listed = " and ".join([", ".join(inputs[:-1]), inputs[-1]]) if len(inputs) > 1 else inputs[0]
    verb = "lies" if len(inputs) == 1 else "lie"
    return f"{listed[0].upper()}{listed[1:]} {verb} beyond anything the model was trained on."


def _follows_holiday(session: date, exchange: str) -> bool:
    between = pd.bdate_range(shift(session, -1, exchange), session)[1:-1]
    return any(not is_session(day.date(), exchange) for day in between)
