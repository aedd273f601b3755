"""The index of the pages: a row a symbol and target, with what its newest night forecasts for the coming session."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from forecasting.report.night_view import usual_value
from forecasting.report.page import environment, stale_after
from forecasting.report.units import Unit, instant, percent, short_day, unit_for
from forecasting.vocabulary import Target

_WIDTH, _HEIGHT, _AHEAD = 132.0, 30.0, 12.0
"""Of a sparkline, in CSS pixels; the last part is the forecast's."""


@dataclass(frozen=True)
class IndexLine:
    """The newest night of a symbol and target.

    Attributes:
        forecast: The published row of table forecasts one session ahead, with `title` and `currency` of its fetch.
        values: Known values up to the origin, oldest first, in the target's own unit; NaN for unknown.
        events: Kinds of the events on the session that is forecast, as `earnings`.
        result: The newest scored forecast one session ahead: a row of table scores, and `q50`; None before the first.
        unfinished: The row of `runs` of a newer night that waits for its bar or failed; None without one.
        page: File name of its page; empty where there is none.
    """

    forecast: Mapping[str, Any]
    values: Sequence[float]
    events: Sequence[str]
    result: Mapping[str, Any] | None
    unfinished: Mapping[str, Any] | None
    page: str

    @property
    def known(self) -> list[float]:
        """The values without unknown ones."""
        return [value for value in self.values if math.isfinite(value)]

    @property
    def usual(self) -> float:
        """As `usual_value`."""
        return usual_value(self.forecast["target"], self.known)

    @property
    def unit(self) -> Unit:
        """The unit in which its values are written."""
        target: Target = self.forecast["target"]
        symbol, currency = str(self.forecast["symbol"]), str(self.forecast["currency"] or "")
        return unit_for(target, usual=self.usual, symbol=symbol, currency=currency)

    @property
    def decimals(self) -> int:
        """Digits after the point of a change in percent: a session moves a close by a percent or so."""
        return 1 if self.forecast["target"] == "close" else 0


def render_index(lines: Sequence[IndexLine]) -> str:
    """The whole HTML page. It makes no request; its script sorts, filters and shows the age of the data."""
    rows = [_row(line) for line in lines]
    targets = list(dict.fromkeys(row["target"] for row in rows))
    return (
        environment()
        .get_template("index.html")
        .render(
            rows=rows,
            symbols=len({row["symbol"] for row in rows}),
            targets=targets,
            against=_against(targets),
            states=list(dict.fromkeys(row["state"] for row in rows)),
            issued=instant(max((line.forecast["issued_at"] for line in lines), default=None)),
        )
    )


def _row(line: IndexLine) -> dict[str, Any]:
    forecast, unit = line.forecast, line.unit
    change = forecast["q50"] / line.usual - 1.0 if line.usual else math.nan
    return {
        "symbol": forecast["symbol"],
        "title": forecast["title"],
        "target": forecast["target"],
        "page": line.page,
        "session": forecast["target_session"].isoformat(),
        "day": short_day(forecast["target_session"]),
        "median": unit.brief(forecast["q50"]),
        "value": forecast["q50"],
        "interval": unit.brief_span(forecast["q10"], forecast["q90"]),
        "width": (forecast["q90"] - forecast["q10"]) / forecast["q50"] if forecast["q50"] else 0.0,
        "change": percent(change, signed=True, decimals=line.decimals),
        "against": "last" if forecast["target"] == "close" else "usual",  # where a phone has no heads
        "change_share": change if math.isfinite(change) else 0.0,
        "spark": _sparkline(line),
        "special": ", ".join([*line.events, *filter(None, [forecast["calendar"]])]),
        "result": _result(line),
        "origin": forecast["origin_session"].isoformat(),
        "data_as_of": instant(forecast["data_as_of"]),
        "stale_after": stale_after(forecast["target_session"]),
        "state": _state(line),
        "reason": _reason(line),
    }


def _against(targets: Sequence[str]) -> str:
    """The head of the column of changes: what the medians of these targets are compared with."""
    if "close" not in targets:
        return "Against usual"
    return "Against last" if len(targets) == 1 else "Against usual (close: last)"


def _state(line: IndexLine) -> str:
    """One or two words: what is wrong with the newest forecast, or `ok`."""
    if line.unfinished is not None:
        return "data late" if line.unfinished["status"] == "late" else "night failed"
    if line.forecast["status"] == "fallback":
        return "fallback"
    return {"live": "ok", "late": "issued late", "replay": "replay"}[str(line.forecast["kind"])]


def _reason(line: IndexLine) -> str:
    if line.unfinished is not None:
        return str(line.unfinished["error"] or line.unfinished["note"] or "")
    return str(line.forecast["reason"] or "")


def _result(line: IndexLine) -> dict[str, Any] | None:
    if line.result is None:
        return None
    session: date = line.result["target_session"]
    actual, median = line.result["actual"], line.result["q50"]
    side = "above" if actual > median else "below"
    off = percent(abs(actual / median - 1.0), decimals=line.decimals) if median else ""
    is_hit = bool(line.result["inside_80"])
    return {"hit": is_hit, "text": f"{short_day(session)}: {off} {side}", "session": session.isoformat()}


def _sparkline(line: IndexLine) -> dict[str, str]:
    """Attributes of the SVG: the path of the last sessions, and the box and line of the forecast."""
    known, forecast = line.known, line.forecast
    shown = [*known, forecast["q10"], forecast["q90"]]
    low, high = min(shown), max(shown)
    scale = (_HEIGHT - 4.0) / (high - low or 1.0)

    def y(value: float) -> float:
        return float(_HEIGHT - 2.0 - (value - low) * scale)

    step = (_WIDTH - _AHEAD - 4.0) / max(len(known) - 1, 1)
    points = "L".join(f"{place * step:.1f} {y(value):.1f}" for place, value in enumerate(known))
    return {
        "path": f"M{points}" if known else "",
        "top": f"{y(forecast['q90']):.1f}",
        "height": f"{max(y(forecast['q10']) - y(forecast['q90']), 1.0):.1f}",
        "median": f"{y(forecast['q50']):.1f}",
    }
