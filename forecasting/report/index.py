"""The index of the pages: a row a symbol and target, with what its newest night forecasts for the coming session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from forecasting.report.night_view import SymbolLine
from forecasting.report.page import environment, stale_after
from forecasting.report.units import instant, percent, short_day

_WIDTH, _HEIGHT, _AHEAD = 132.0, 30.0, 12.0
"""Of a sparkline, in CSS pixels; the last part is the forecast's."""


def render_index(lines: Sequence[SymbolLine]) -> str:
    """The whole HTML page. It makes no request; its script sorts, filters and shows the age of the data."""
    return (
        environment()
        .get_template("index.html")
        .render(
            rows=[_row(line) for line in sorted(lines, key=lambda line: -line.unusualness)],
            symbols=len({line.symbol for line in lines}),
            targets=list(dict.fromkeys(line.target for line in lines)),
            states=list(dict.fromkeys(line.state for line in lines)),
            issued=instant(max((line.row["issued_at"] for line in lines), default=None)),
        )
    )


def _row(line: SymbolLine) -> dict[str, Any]:
    forecast, unit = line.row, line.unit
    return {
        "line": line,
        "forecast": forecast,
        "median": unit.brief(forecast["q50"]),
        "interval": unit.brief_span(forecast["q10"], forecast["q90"]),
        "width": (forecast["q90"] - forecast["q10"]) / forecast["q50"] if forecast["q50"] else 0.0,
        "unusual": line.unusualness,
        "skill": "" if line.skill is None else percent(line.skill, signed=True),
        "skill_share": "" if line.skill is None else line.skill,
        "spark": _sparkline(line),
        "result": _result(line),
        "requested": instant(forecast["data_as_of"]),
        "stale_after": stale_after(line.session),
        "reason": line.reason if line.is_behind else str(forecast["reason"] or ""),
    }


def _result(line: SymbolLine) -> dict[str, Any] | None:
    if line.result is None:
        return None
    session, actual, median = line.result["target_session"], line.result["actual"], line.result["q50"]
    side = "above" if actual > median else "below"
    off = percent(abs(actual / median - 1.0), decimals=1 if line.target == "close" else 0) if median else ""
    return {"hit": bool(line.result["inside_80"]), "text": f"{short_day(session)}: {off} {side}", "session": session}


def _sparkline(line: SymbolLine) -> dict[str, str]:
    """Attributes of the SVG: the path of the last sessions, and the box and line of the forecast."""
    known, forecast = line.known, line.row
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
