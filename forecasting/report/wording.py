"""The sentences of the page: headline, track record, notices, notes on a session."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, Literal

import pandas as pd

from forecasting.preprocess.future_covariates import calendar_notes
from forecasting.report.data import ReportData
from forecasting.report.days import as_day
from forecasting.report.track_record import TrackRecord, best_ahead
from forecasting.report.units import GAP, instant, long_day, percent, quantity, short_day, unit_of
from forecasting.vocabulary import LSTM

TARGETS = {"volume": "daily volume", "close": "closing price", "range": "daily range, log(high / low)"}
_FORECASTERS = {"har": "HAR", "har_volatility": "HAR volatility", LSTM: "the network alone"}


@dataclass(frozen=True)
class Notice:
    """A banner at the top of the page.

    Attributes:
        tone: warn where the forecast is less reliable than usual, info where it needs an explanation.
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
        "interval": unit.brief_span(float(row["q10"]), float(row["q90"])),
        "comparison": _comparison(data, float(row["q50"])),
    }


def sentence(data: ReportData) -> str:
    """The same as plain text."""
    parts = headline(data)
    interval = f"(80{GAP}% interval {parts['interval']})"
    return f"{parts['subject']} {parts['median']} {parts['day']} {interval}, {parts['comparison']}."


def record_sentence(data: ReportData, record: TrackRecord) -> str:
    """The results of the forecasts one session ahead so far; empty before the first score."""
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
    best = best_ahead(record, "mae")
    if best is None:
        return text + "."
    skill, name = float(best["skill_mae"]), forecaster_label(best["forecaster"])
    if math.isnan(skill) and best["mae"] > 0.0:
        return f"{text}; the best baseline there, {name}, did not miss."
    if not abs(skill) >= 0.005:
        return f"{text}: about as much as the best baseline there, {name}."
    side = "less" if skill > 0 else "more"
    return f"{text}: {percent(abs(skill))} {side} than the best baseline there, {name}."


def notices(data: ReportData) -> list[Notice]:
    """What a reader needs to know before the numbers, most severe first."""
    found: list[Notice] = []
    rows, run = data.rows, data.run
    if run.get("error"):
        found.append(Notice("warn", "Part of the night failed", str(run["error"])))
    if data.unfinished is not None:
        found.append(_unfinished(data, data.unfinished))
    fallback = rows[rows["status"] == "fallback"]
    if len(fallback):
        reasons = "; ".join(dict.fromkeys(str(reason) for reason in fallback["reason"] if reason))
        found.append(Notice("warn", "Fallback", f"The network is not published: {reasons or 'no reason was given'}."))
    elif broken := str(rows["reason"].iloc[0] or ""):
        found.append(Notice("warn", "Break in the bars", f"{broken[0].upper()}{broken[1:]}."))
    out_of_range = _out_of_range(rows)
    if out_of_range:
        found.append(Notice("info", "Never seen before", out_of_range))
    kinds = set(rows["kind"])
    if "late" in kinds:
        opened = short_day(rows["target_session"].iloc[0])
        text = f"Written at {instant(rows['issued_at'].iloc[0])}, after {opened} had opened: it is not scored as live."
        found.append(Notice("warn", "Issued late", text))
    if "replay" in kinds:
        text = "Made afterwards for a past session, from the data known at that session; never counted as live."
        found.append(Notice("info", "Replay", text))
    if data.changed:
        each = "; ".join(f"{name} {_input(now)}, before {_input(then)}" for name, then, now in data.changed)
        found.append(Notice("warn", "Other inputs than the night before", f"{each}."))
    if str(data.fetch["source"]) == "sample":
        found.append(Notice("info", "Sample data", f"{data.fetch['title']}. Real bars, but not current ones."))
    if run.get("note"):
        found.append(Notice("info", "Note", str(run["note"])))
    return found


def day_notes(data: ReportData, session: date) -> list[str]:
    """Notes on a session: earnings, half day, expiry, the first after a holiday."""
    return list(dict.fromkeys([*data.event_kinds.get(session, []), *_calendar_notes(session, data.exchange)]))


def forecaster_label(name: str) -> str:
    """The name in words of a baseline, or of the network."""
    return _FORECASTERS.get(name, name.replace("_", " "))


@lru_cache(maxsize=4096)
def _calendar_notes(session: date, exchange: str) -> tuple[str, ...]:
    """A page asks for hundreds of sessions, and those of many symbols for the same ones."""
    return tuple(calendar_notes(session, exchange))


def _comparison(data: ReportData, median: float) -> str:
    unit, last_day = unit_of(data), data.known.index[-1]
    day = f"{last_day:%A}" if (data.origin - last_day).days < 7 else short_day(last_day)
    last = f"{day}'s {unit.brief(data.last_value)}"
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
    message = str(run.get("error") or run.get("note") or "")
    title = "Data late" if run["status"] == "late" else "Newest night failed"
    origin, missing = long_day(data.origin), long_day(as_day(run["as_of"]))
    return Notice("warn", title, f"{message} These forecasts are from {origin}; there are none from {missing} yet.")


def _input(value: object) -> str:
    """An input in words: a setting that the night did not have was left at its default."""
    if value is None:
        return "default"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "none")


def _out_of_range(rows: pd.DataFrame) -> str:
    """A sentence that lists the inputs outside the range of the training data; empty without any."""
    listing = str(rows["outside"].iloc[0]) if "outside" in rows else ""
    named = [part.rpartition(" ") for part in listing.split(", ") if part]
    inputs = [f"{name} on {session}" for name, _, session in named]
    if not inputs:
        return ""
    listed = " and ".join([", ".join(inputs[:-1]), inputs[-1]]) if len(inputs) > 1 else inputs[0]
    verb = "is" if len(inputs) == 1 else "are"
    return f"{listed[0].upper()}{listed[1:]} {verb} outside the range of the training data."


def published_sentence(document: Mapping[str, Any]) -> str:
    """What the replayed nights of a backtest's document published, in a sentence."""
    published = document["as_published"]
    nights, gain = published["nights"], published["skill_vs_alone"]
    return (
        f"As published, a fit every night: {quantity(nights['network'], 'night')} the network, "
        f"{nights['fallback']} a baseline; {quantity(nights['scratch'], 'fit')} from scratch, {nights['warm']} warm, "
        f"{nights['refused']} refused; pinball loss {percent(abs(gain), decimals=1)} "
        f"{'below' if gain > 0 else 'above'} that of the model alone, which is the table before."
    )
