"""The charts of the track record: forecasts against actuals, skill by horizon, coverage against its expected band."""

from __future__ import annotations

import math
from datetime import date
from typing import Any, Literal

from forecasting.report import axes
from forecasting.report.axes import Axes
from forecasting.report.data import ReportData
from forecasting.report.track_record import TrackRecord
from forecasting.report.units import GAP, Unit, long_day, percent, quantity, short_day, unit_of

Layout = Literal["wide", "narrow"]
"""CSS shows the drawing that fits, so that labels stay legible on a phone."""

BANDS = (("q05", "q95", "band90"), ("q10", "q90", "band80"), ("q25", "q75", "band50"))
SIZES = {"wide": (1000.0, 380.0), "narrow": (360.0, 300.0)}

_PAST_FORECASTS = {"wide": 60, "narrow": 30}
_LABEL_WIDTH = 58.0


def past_chart(data: ReportData, record: TrackRecord, layout: Layout) -> str:
    """Forecasts made one session ahead, oldest first: intervals of 80 and 90 %, median and actual.

    A dot is inside the 80 % interval, a hollow diamond outside it, a cross outside the 90 % one too.
    """
    unit, ahead = unit_of(data), record.ahead(1).iloc[-_PAST_FORECASTS[layout] :]
    width, height = SIZES[layout]
    values = [*ahead["q05"], *ahead["q95"], *ahead["actual"]]
    plot = axes.make_axes(values, width=width, height=height, unit=unit, from_zero=data.target != "close")
    # Few forecasts in a wide chart would be very wide columns: they keep the width of one among twenty.
    step = (plot.right - plot.left) / max(len(ahead), 20)
    marks = [axes.grid(plot, unit)]
    for position, row in enumerate(ahead.to_dict("records")):
        x = plot.left + position * step
        marks.append(
            axes.slot(x, plot, width=step, tip=_past_tip(row, unit), marks=_past_marks(row, plot, x=x, step=step))
        )
    marks += session_labels(plot, list(ahead["target_session"]), step=step)
    hits = int(ahead["inside_80"].astype(bool).sum())
    label = (
        f"{quantity(len(ahead), 'forecast')} made one session ahead: {hits} of the actuals inside the 80 % interval."
    )
    return axes.drawing(plot, label=label, marks="".join(marks), css=layout)


def coverage_strip(share: float, low: float, high: float, *, level: float) -> str:
    """A small scale from 50 to 100 %: the band where the share should lie, a tick at the level, a dot at the share."""
    width, height = 150.0, 22.0

    def at(value: float) -> float:
        return 6 + (max(value, 0.5) - 0.5) / 0.5 * (width - 12)

    marks = [
        axes.line(6, 11, width - 6, 11, css="grid"),
        axes.box(at(low), 5, 17, width=max(at(high) - at(low), 2), css="band80"),
        axes.line(at(level), 3, at(level), 19, css="median"),
        _dot(at(share), 11) if low <= share <= high else _diamond(at(share), 11, 5),
    ]
    plot = Axes(width, height, 0, 0, 1, ())
    label = f"{percent(share)} inside; {percent(low)} to {percent(high)} expected at {percent(level)}"
    return axes.drawing(plot, label=label, marks="".join(marks), css="strip")


def skill_bars(skills_by_horizon: dict[int, float], *, limit: float) -> str:
    """One column per horizon: up where the published forecast is better, down where the baseline is.

    Args:
        skills_by_horizon: Skill per horizon, 0.1 for 10 % better; NaN draws no column.
        limit: The skill that fills half the height; the same for all baselines, so that they can be compared.
    """
    width, reach, room = 190.0, 24.0, 15.0
    middle = room + reach if any(skill > 0 for skill in skills_by_horizon.values()) else room
    height = middle + (reach + room if any(skill < 0 for skill in skills_by_horizon.values()) else 3)
    step, marks = width / max(len(skills_by_horizon), 1), [axes.line(0, middle, width, middle, css="floor")]
    for position, (_, skill) in enumerate(sorted(skills_by_horizon.items())):
        x, rise = position * step, 0.0 if skill != skill else reach * max(-1.0, min(1.0, skill / limit))
        marks.append(
            axes.box(x + step * 0.28, middle, middle - rise, width=step * 0.44, css="gain" if rise >= 0 else "loss")
        )
        y = middle - rise - 4 if rise >= 0 else middle - rise + 12
        marks.append(axes.text(x + step / 2, y, percent(skill, signed=True).replace(GAP, ""), css="value middle"))
    label = ", ".join(
        f"{horizon} ahead {percent(skill, signed=True)}" for horizon, skill in sorted(skills_by_horizon.items())
    )
    return axes.drawing(Axes(width, height, 0, 0, 1, ()), label=label, marks="".join(marks), css="bars")


def _past_marks(row: dict[Any, Any], plot: Axes, *, x: float, step: float) -> str:
    middle, wide = x + step / 2, min(step * 0.7, 16.0)
    left = middle - wide / 2
    marks = "".join(
        axes.box(left, plot.y(row[low]), plot.y(row[high]), width=wide, css=css) for low, high, css in BANDS[:2]
    )
    marks += axes.line(left, plot.y(row["q50"]), left + wide, plot.y(row["q50"]), css="median")
    y = plot.y(row["actual"])
    if row["inside_80"]:
        return marks + _dot(middle, y)
    return marks + (_diamond(middle, y, 4.5) if row["inside_90"] else _cross(middle, y))


def _past_tip(row: dict[Any, Any], unit: Unit) -> str:
    where = "inside 80 %" if row["inside_80"] else "outside 80 %" if row["inside_90"] else "outside 90 %"
    return (
        f"{long_day(row['target_session'])}\nactual {unit.text(row['actual'])}, {where}\n"
        f"forecast {unit.text(row['q50'])}\n80{GAP}% {unit.span_text(row['q10'], row['q90'])}\n"
        f"{row['kind']}, from {short_day(row['origin_session'])}"
    )


def _dot(x: float, y: float) -> str:
    return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>'


def _diamond(x: float, y: float, r: float) -> str:
    return axes.path([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], css="diamond", closed=True)


def _cross(x: float, y: float) -> str:
    return axes.line(x - 4, y - 4, x + 4, y + 4, css="cross") + axes.line(x - 4, y + 4, x + 4, y - 4, css="cross")


def session_labels(plot: Axes, sessions: list[date], *, step: float) -> list[str]:
    """Dates at even steps: under the first session of every k-th week; under every session when there are few."""
    every = math.ceil(_LABEL_WIDTH / (5 * step))
    labels = []
    for position, session in enumerate(sessions):
        x, week = plot.left + (position + 0.5) * step, _week(session)
        is_week_start = position > 0 and week != _week(sessions[position - 1]) and week % every == 0
        if (is_week_start or len(sessions) < 12) and x + 26 < plot.left + max(len(sessions), 20) * step:
            labels.append(axes.text(x, plot.floor + 16, f"{session.day} {session:%b}", css="axis middle"))
            labels.append(axes.line(x, plot.floor, x, plot.floor + 4, css="floor"))
    return labels


def _week(session: date) -> int:
    return (session.toordinal() - 1) // 7
