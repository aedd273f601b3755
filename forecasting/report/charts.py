"""The drawings of the pages: the geometry of an axis, a night, its record, a line of the index."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Any, Literal

import pandas as pd

from forecasting.plain_text import quantity
from forecasting.report.night_view import MADE, NightView
from forecasting.report.units import Unit, full_day, short_day

# margins of the plot area, in SVG units, which are CSS pixels at full size
TOP = 26.0
BOTTOM = 42.0
RIGHT = 8.0


@dataclass(frozen=True)
class Axes:
    """One chart's plot area and value axis."""

    left: float  # the edges of the plot
    right: float
    floor: float
    high: float  # the value at the upper edge; at the floor it is 0
    labels: dict[float, str]  # of round values

    @property
    def width(self) -> float:
        """The width of the plot."""
        return self.right - self.left

    def y(self, value: float) -> float:
        """The height at which a value lies; y grows downwards."""
        return self.floor - value / self.high * (self.floor - TOP)


def make_axes(values: Iterable[float], size: tuple[float, float], unit: Unit) -> Axes:
    """A plot area whose axis holds all finite `values`, none negative, with round ticks."""
    high = 1.06 * (max(filter(math.isfinite, values)) or 1.0)
    labels = tick_labels(round_ticks(high), unit)
    width, height = size
    return Axes(
        14.0 + 6.4 * max(map(len, labels.values())), width - RIGHT, height - BOTTOM, high, labels
    )


def round_ticks(high: float) -> tuple[float, ...]:
    """Three to six multiples of a 1, 2 or 5 step from 0 up to `high`."""
    rough = high / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.75)
    return tuple(k * step for k in range(math.floor(high / step + 1e-9) + 1))


def tick_labels(ticks: Sequence[float], unit: Unit) -> dict[float, str]:
    """The ticks without needless decimals."""
    shown = [tick / unit.scale for tick in ticks]
    fine = 1e-6 * (max(shown) - min(shown))
    decimals = 0
    while any(abs(round(value, decimals) - value) > fine for value in shown):
        decimals += 1
    labels = [f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}") for value in shown]
    return dict(zip(ticks, labels, strict=True))


def grid(plot: Axes, unit: Unit) -> str:
    """Grid lines with their labels, and the unit above them."""
    drawn = text(0.0, 12.0, unit.name, css="axis")
    for tick, label in plot.labels.items():
        drawn += level(plot, tick, css="floor" if tick == 0 else "grid")
        drawn += text(plot.left - 6, plot.y(tick) + 4, label, css="axis end")
    return drawn


def level(plot: Axes, value: float, *, css: str) -> str:
    """A line across the plot at a value."""
    y = plot.y(value)
    return path([(plot.left, y), (plot.right, y)], css=css)


def box(x: float, y1: float, y2: float, *, width: float, css: str) -> str:
    """A rectangle between two heights, given in either order."""
    top = min(y1, y2)
    height = max(abs(y2 - y1), 0.5)
    return (
        f'<rect class="{css}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
    )


def text(x: float, y: float, label: str, *, css: str) -> str:
    """A label; `css` holds middle or end when x is not its left edge."""
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}">{escape(label)}</text>'


def path(points: Iterable[tuple[float, float]], *, css: str) -> str:
    """A polyline."""
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="{css}" d="M{steps}"/>'


def slot(x: float, plot: Axes, *, width: float, tip: str, marks: str) -> str:
    """The marks of one session, under an invisible area that shows `tip` under the pointer."""
    area = box(x, TOP - 8, plot.floor, width=width, css="hit")
    return f'<g class="slot"><title>{escape(tip)}</title>{marks}{area}</g>'


def drawing(size: tuple[float, float], marks: Iterable[str], *, label: str, css: str) -> str:
    """The SVG element; `label` is its text alternative."""
    width, height = size
    stated = f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart {css}" '
        f"{stated}>{''.join(marks)}</svg>"
    )


Layout = Literal["wide", "narrow"]
"""CSS shows the drawing that fits, so that labels stay legible on a phone."""

BANDS = (("q05", "q95", "band90"), ("q10", "q90", "band80"), ("q25", "q75", "band50"))
SIZES = {"wide": (1000.0, 380.0), "narrow": (360.0, 300.0)}

_PAST_FORECASTS = 60
_PAST_SESSIONS = {"wide": 60, "narrow": 20}
# Times that a coming session is wider than a past one: on a phone five characters fit into it
_COMING = {"wide": 3.8, "narrow": 4.8}
_LETTERS = {"earnings": "E", "earnings?": "E", "half day": "½"}
_LABEL_WIDTH = 44.0
_SHAPES = {
    "dot": "m-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0 -6.4 0Z",
    "diamond": "m0 -4.5l4.5 4.5l-4.5 4.5l-4.5 -4.5Z",
    "cross": "m-4 -4l8 8m-8 0l8 -8",
}
"""The shape of an actual around its place, by where it is."""
_WHERE = {"dot": "inside 80%", "diamond": "outside 80%", "cross": "outside 90%"}


def night_chart(data: NightView, layout: Layout) -> str:
    """The drawing of the newest sessions, and of the intervals of the coming ones."""
    past = data.known.iloc[-_PAST_SESSIONS[layout] :]
    plot = make_axes(
        [*past, data.usual, *data.rows["q05"], *data.rows["q95"]], SIZES[layout], data.unit
    )
    coming = _COMING[layout]
    step = plot.width / (len(past) + coming * len(data.rows))
    start = plot.left + step * len(past)
    marks = [
        box(start, TOP - 8, plot.floor, width=plot.right - start, css="coming"),
        grid(plot, data.unit),
        level(plot, data.usual, css="usual"),
        *_known_slots(data, past, plot, step=step),
        *session_labels(plot, list(past.index), step=step, end=start),
        *_coming_slots(data, plot, start=start, step=coming * step),
    ]
    label = (
        f"{data.symbol} {data.target}: {quantity(len(past), 'past session')}, and the intervals of "
        "the coming ones, which the table has too."
    )
    return drawing(SIZES[layout], marks, label=label, css=layout)


def _known_slots(data: NightView, past: pd.Series, plot: Axes, *, step: float) -> list[str]:
    """A bar a past session; a letter above special ones."""
    slots = []
    for place, (session, value) in enumerate(zip(past.index, past, strict=True)):
        x = plot.left + place * step
        y = plot.y(value)
        days = data.full.past_days.get(session, ())
        marks = _letter(days, x + step / 2, y)
        bar = box(x + step * 0.14, y, plot.floor, width=step * 0.72, css="bar")
        tip = "\n".join([full_day(session), data.unit.text(value), *days])
        slots.append(slot(x, plot, width=step, tip=tip, marks=bar + marks))
    return slots


def _coming_slots(data: NightView, plot: Axes, *, start: float, step: float) -> list[str]:
    """The intervals of each coming session, its median and its day."""
    slots = []
    for place, shown in enumerate(data.week):
        row = shown.row
        x = start + place * step
        middle = x + step / 2
        marks = _intervals(vars(row), plot, BANDS, middle=middle, width=step - 2)
        if step > 6.6 * len(shown.median):
            marks += text(middle, plot.y(row.q50) - 5, shown.median, css="value middle")
        for below, name in ((16, f"{shown.session:%a}"), (30, str(shown.session.day))):
            marks += text(middle, plot.floor + below, name, css="axis strong middle")
        marks += _letter(shown.special_days, middle, plot.y(row.q95))
        tip = [
            full_day(shown.session),
            f"median {shown.median}",
            f"50% {shown.span('q25', 'q75')}",
            f"80% {shown.span('q10', 'q90')}",
            f"90% {shown.span('q05', 'q95')}",
            *shown.special_days,
        ]
        slots.append(slot(x, plot, width=step, tip="\n".join(tip), marks=marks))
    return slots


def _letter(days: Sequence[str], x: float, y: float) -> str:
    """The letter of a special day, above a height."""
    marked = [day for day in days if day in _LETTERS]
    if not marked:
        return ""
    # A report that is only expected has a hollow letter.
    css = "event hollow middle" if marked[0] == "earnings?" else "event middle"
    return text(x, max(y - 8, 14), _LETTERS[marked[0]], css=css)


def past_chart(data: NightView) -> str:
    """The drawing of forecasts made one session ahead, with their actuals.

    An actual is a dot inside 80%, a cross outside 90%, else a diamond.
    """
    ahead = data.full.record.ahead(1).iloc[-_PAST_FORECASTS:]
    plot = make_axes([*ahead["q05"], *ahead["q95"], *ahead["actual"]], SIZES["wide"], data.unit)
    # Few forecasts in a wide chart would be very wide columns: they keep the width of one among
    # twenty.
    step = plot.width / max(len(ahead), 20)
    marks = [grid(plot, data.unit)]
    for position, row in enumerate(ahead.to_dict("records")):
        x = plot.left + position * step
        middle = x + step / 2
        shape = _shape(row)
        drawn = _intervals(row, plot, BANDS[:2], middle=middle, width=min(step * 0.7, 16.0))
        at = f"M{middle:.1f} {plot.y(row['actual']):.1f}"
        drawn += f'<path class="{shape}" d="{at}{_SHAPES[shape]}"/>'
        marks.append(slot(x, plot, width=step, tip=_past_tip(row, data.unit), marks=drawn))
    marks += session_labels(plot, list(ahead["target_session"]), step=step, end=SIZES["wide"][0])
    hits = int(ahead["inside_80"].astype(bool).sum())
    label = (
        f"{quantity(len(ahead), 'forecast')} made one session ahead: {hits} of the actuals inside "
        "the 80% interval."
    )
    return drawing(SIZES["wide"], marks, label=label, css="past")


def _intervals(
    row: Mapping[Any, Any],
    plot: Axes,
    bands: Sequence[tuple[str, str, str]],
    *,
    middle: float,
    width: float,
) -> str:
    """The intervals of one forecast, the widest below, and its median."""
    left = middle - width / 2
    median = plot.y(row["q50"])
    drawn = [
        box(left, plot.y(row[low]), plot.y(row[high]), width=width, css=css)
        for low, high, css in bands
    ]
    return "".join([*drawn, path([(left, median), (left + width, median)], css="median")])


def _shape(row: Mapping[Any, Any]) -> str:
    """Which of _SHAPES an actual is."""
    if row["inside_80"]:
        return "dot"
    return "diamond" if row["inside_90"] else "cross"


def _past_tip(row: Mapping[Any, Any], unit: Unit) -> str:
    return (
        f"{full_day(row['target_session'])}\nactual {unit.text(row['actual'])}, "
        f"{_WHERE[_shape(row)]}\n"
        f"forecast {unit.text(row['q50'])}\n80% {unit.text(row['q10'], row['q90'])}\n"
        f"{MADE[row['kind']]}, from {short_day(row['origin_session'])}"
    )


def session_labels(plot: Axes, sessions: Sequence[date], *, step: float, end: float) -> list[str]:
    """Dates under the first session of a week, as many as have room up to `end`."""
    labels = []
    free = plot.left
    week = 0
    for place, session in enumerate(sessions):
        x = plot.left + (place + 0.5) * step
        is_first = (session.toordinal() - 1) // 7 > week
        week = (session.toordinal() - 1) // 7
        if not is_first or x < free or x + _LABEL_WIDTH / 2 > end:
            continue
        free = x + _LABEL_WIDTH
        labels.append(text(x, plot.floor + 16, f"{session.day} {session:%b}", css="axis middle"))
        labels.append(path([(x, plot.floor), (x, plot.floor + 4)], css="floor"))
    return labels


SPARK_SESSIONS = 30


def sparkline(night: NightView) -> str:
    """The drawing in a row of the index: the last sessions, beside them the forecast."""
    known = night.known.iloc[-SPARK_SESSIONS:].tolist()
    row = night.forecasts[0]
    shown = [*known, row.q10, row.q90]
    low = min(shown)
    scale = 26.0 / (max(shown) - low or 1.0)
    step = 116.0 / max(len(known) - 1, 1)
    bottom, middle, top = (28.0 - (value - low) * scale for value in (row.q10, row.q50, row.q90))
    points = [(n * step, 28.0 - (value - low) * scale) for n, value in enumerate(known)]
    return (
        '<svg viewBox="0 0 132 30" width="132" height="30" aria-hidden="true">'
        f"{path(points, css='') if known else ''}"
        f"{box(121, bottom, top, width=9, css='')}"
        f"{path([(120, middle), (131, middle)], css='m')}</svg>"
    )
