"""The fan chart, as inline SVG.

Plotly was not used: its script adds 4 MB to every night's page. These drawings take a few dozen kilobytes, need no
script, follow light and dark by CSS, print sharp, and show values under the pointer with thirty lines of JavaScript.
What Plotly adds, zooming and panning, is not needed for 65 sessions.

Each chart has two layouts, wide and narrow; CSS shows the one that fits, so that labels stay legible on a phone.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

import pandas as pd

from forecasting.report import axes
from forecasting.report.axes import Axes
from forecasting.report.data import ReportData, as_day
from forecasting.report.units import GAP, Unit, long_day, unit_of
from forecasting.report.wording import day_notes, sentence

Layout = Literal["wide", "narrow"]

_FAN_SESSIONS = {"wide": 60, "narrow": 32}
SIZES = {"wide": (1000.0, 380.0), "narrow": (360.0, 300.0)}
_COMING_WIDTH = 3.8  # a coming session is drawn this much wider than a past one
BANDS = (("q05", "q95", "band90"), ("q10", "q90", "band80"), ("q25", "q75", "band50"))
_MARKS = {"earnings": "E", "half day": "\N{VULGAR FRACTION ONE HALF}"}


def fan_chart(data: ReportData, layout: Layout) -> str:
    """Recent sessions of the target and the fan of the coming ones: bands of 50, 80 and 90 % around the median.

    Volume and range are measured from zero, so they are bars and the fan is a step for each session: weekdays and
    earnings make neighbours differ, so a slope between them has no meaning. Prices are a line, and the fan starts at
    its end.
    """
    unit, known, rows = unit_of(data), data.known.iloc[-_FAN_SESSIONS[layout] :], data.rows
    width, height = SIZES[layout]
    values = [*known, *rows["q05"], *rows["q95"], data.usual]
    plot = axes.make_axes(values, width=width, height=height, unit=unit, from_zero=data.target != "close")
    step = (plot.right - plot.left - 4) / (len(known) + _COMING_WIDTH * len(rows))
    start = plot.left + len(known) * step + 4
    marks = [_background(plot, start), axes.grid(plot, unit), _usual(data, plot)]
    marks += _past_slots(data, plot, known, step=step)
    marks += _coming_slots(data, plot, start=start, step=_COMING_WIDTH * step)
    marks += session_labels(plot, list(known.index), step=step)
    label = f"{sentence(data)} The chart shows {len(known)} past sessions and {len(rows)} forecast; the table has them."
    return axes.drawing(plot, label=label, marks="".join(marks), css=layout)


def _background(plot: Axes, start: float) -> str:
    return axes.box(start, axes.TOP - 8, plot.floor, width=plot.right - start, css="coming") + axes.text(
        plot.right - 4, axes.TOP - 12, "forecast", css="axis end"
    )


def _usual(data: ReportData, plot: Axes) -> str:
    if data.target == "close":
        return ""
    y = plot.y(data.usual)
    return axes.line(plot.left, y, plot.right, y, css="usual")


def _past_slots(data: ReportData, plot: Axes, known: pd.Series[float], *, step: float) -> list[str]:
    unit, parts = unit_of(data), []
    centres = [plot.left + (position + 0.5) * step for position in range(len(known))]
    if data.target == "close":
        parts.append(axes.path([(x, plot.y(v)) for x, v in zip(centres, known, strict=True)], css="history"))
    for x, session, value in zip(centres, map(as_day, known.index), known, strict=True):
        is_first_print = data.is_provisional and x == centres[-1]
        marks = ""
        if data.target != "close":
            css = "bar provisional" if is_first_print else "bar"
            marks = axes.box(x - step * 0.36, plot.y(value), plot.floor, width=step * 0.72, css=css)
        notes = day_notes(data, session)
        marks += _event_mark(notes, x, plot.y(value) - 8)
        tip = [long_day(session), unit.text(value) + (" (first print)" if is_first_print else ""), *notes]
        parts.append(axes.slot(x - step / 2, plot, width=step, tip="\n".join(tip), marks=marks))
    return parts


def _coming_slots(data: ReportData, plot: Axes, *, start: float, step: float) -> list[str]:
    rows = data.rows.to_dict("records")
    centres = [start + (position + 0.5) * step for position in range(len(rows))]
    parts = _sloping_fan(data, plot, rows, centres, start) if data.target == "close" else []
    for x, row in zip(centres, rows, strict=True):
        notes = day_notes(data, row["target_session"])
        marks = _median_label(data, plot, row, x=x, step=step)
        if data.target != "close":
            marks = _stepped_fan(plot, row, x=x, step=step) + marks
        marks += _event_mark(notes, x, plot.y(row["q95"]) - 6) + _coming_label(
            plot, row["target_session"], x=x, step=step, with_month=row["horizon"] == rows[0]["horizon"]
        )
        parts.append(axes.slot(x - step / 2, plot, width=step, tip=_coming_tip(row, unit_of(data), notes), marks=marks))
    return parts


def _stepped_fan(plot: Axes, row: dict[Any, Any], *, x: float, step: float) -> str:
    left, wide = x - step / 2 + 1, step - 2
    bands = "".join(
        axes.box(left, plot.y(row[low]), plot.y(row[high]), width=wide, css=css) for low, high, css in BANDS
    )
    return bands + axes.line(left, plot.y(row["q50"]), left + wide, plot.y(row["q50"]), css="median")


def _sloping_fan(
    data: ReportData, plot: Axes, rows: list[dict[Any, Any]], centres: list[float], start: float
) -> list[str]:
    tip = (start - 4, plot.y(data.last_value))

    def edge(column: str) -> list[tuple[float, float]]:
        return [tip, *((x, plot.y(row[column])) for x, row in zip(centres, rows, strict=True))]

    bands = [axes.path(edge(low) + edge(high)[::-1], css=css, closed=True) for low, high, css in BANDS]
    return [*bands, axes.path(edge("q50"), css="median")]


def _median_label(data: ReportData, plot: Axes, row: dict[Any, Any], *, x: float, step: float) -> str:
    label = unit_of(data).number(row["q50"])
    return axes.text(x, plot.y(row["q50"]) - 5, label, css="value middle") if step > 6.2 * len(label) else ""


def _coming_label(plot: Axes, session: date, *, x: float, step: float, with_month: bool) -> str:
    day = f"{session.day} {session:%b}" if step > 36 and (with_month or session.day < 5) else str(session.day)
    weekday = f"{session:%a}" if step > 27 else f"{session:%a}"[:2]
    return axes.text(x, plot.floor + 16, weekday, css="axis strong middle") + axes.text(
        x, plot.floor + 30, day, css="axis strong middle"
    )


def session_labels(plot: Axes, sessions: list[date], *, step: float) -> list[str]:
    """Dates under the first session of each week, as many as fit; under every session when there are few."""
    labels, free_from = [], plot.left
    for position, session in enumerate(sessions):
        x = plot.left + (position + 0.5) * step
        is_week_start = position == 0 or session.isocalendar().week != sessions[position - 1].isocalendar().week
        if (
            (is_week_start or len(sessions) < 12)
            and x >= free_from
            and x + 26 < plot.left + max(len(sessions), 20) * step
        ):
            labels.append(axes.text(x, plot.floor + 16, f"{session.day} {session:%b}", css="axis middle"))
            labels.append(axes.line(x, plot.floor, x, plot.floor + 4, css="floor"))
            free_from = x + 58
    return labels


def _event_mark(notes: list[str], x: float, y: float) -> str:
    letter = next((_MARKS[note] for note in notes if note in _MARKS), "")
    return axes.text(x, max(y, 14.0), letter, css="event middle") if letter else ""


def _coming_tip(row: dict[Any, Any], unit: Unit, notes: list[str]) -> str:
    bands = [
        f"{share}{GAP}% {unit.span_text(row[low], row[high])}"
        for share, (low, high, _) in zip((90, 80, 50), BANDS, strict=True)
    ]
    return "\n".join([long_day(row["target_session"]), f"median {unit.text(row['q50'])}", *reversed(bands), *notes])
