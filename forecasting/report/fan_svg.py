"""The forecast fan as an SVG inside a Markdown artifact: Prefect's UI shows images there, but runs no scripts."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence

from forecasting.plain_text import markdown_text
from forecasting.report import axes
from forecasting.report.axes import Axes
from forecasting.report.data import ReportData
from forecasting.report.units import Unit, short_day, unit_of

WIDTH, HEIGHT = 520.0, 250.0
"""Of the drawing; on a phone it is shown at seven tenths of that, so its letters are large."""

SHOWN_SESSIONS = 40

AHEAD = 3.0
"""Times that a session of the fan is wider than one before it: a label fits below it."""

BANDS = (("q05", "q95", "outer"), ("q10", "q90", "inner"))
"""The intervals of 90 and 80 %: their lower and upper columns, and how they are coloured."""

# An image has no style of the page's: it carries its own, with a background that suits the dark theme too.
_STYLE = """<style>
text { font: 14px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #46505c }
.end { text-anchor: end } .middle { text-anchor: middle } .strong { fill: #0b5ea8; font-weight: 600 }
.paper { fill: #ffffff } .grid, .floor { stroke: #dfe3e8 } .outer { fill: #cde2f5 } .inner { fill: #96c3eb }
.known { fill: none; stroke: #465467; stroke-width: 1.6 } .median { fill: none; stroke: #0b5ea8; stroke-width: 2.4 }
</style>"""


def fan_markdown(data: ReportData) -> str:
    """A Markdown image of the newest sessions and the 90 % and 80 % fan, the SVG itself in the link."""
    address = base64.b64encode(fan_svg(data).encode()).decode("ascii")
    return f"![{markdown_text(_label(data))}](data:image/svg+xml;base64,{address})"


def fan_svg(data: ReportData) -> str:
    """The drawing, oldest session left, scaled from the smallest to the largest value shown."""
    unit, ahead = unit_of(data), data.rows
    past = [float(value) for value in data.history["value"].iloc[-SHOWN_SESSIONS:]]
    shown = [*past, *ahead["q05"], *ahead["q95"]]
    plot = axes.make_axes(shown, width=WIDTH, height=HEIGHT, unit=unit, from_zero=False)
    step = (plot.right - plot.left) / (len(past) - 1 + AHEAD * len(ahead))
    x = [plot.left + step * place for place in range(len(past))]
    x += [x[-1] + step * AHEAD * horizon for horizon in range(1, len(ahead) + 1)]
    # The fan opens from the newest known value; where none of those shown is known, it has no opening.
    known = [place for place, value in enumerate(past) if math.isfinite(value)][-1:]
    start, origin = [past[place] for place in known], x[known[0] if known else len(past) - 1]
    opening = {name: [*start, *ahead[name].astype(float)] for name in ("q05", "q10", "q50", "q90", "q95")}
    at = [*(x[place] for place in known), *x[len(past) :]]
    marks = [_STYLE, f'<rect class="paper" width="{WIDTH:.0f}" height="{HEIGHT:.0f}"/>', axes.grid(plot, unit)]
    for low, high, css in BANDS:
        edge = [*_points(at, opening[low], plot), *reversed(_points(at, opening[high], plot))]
        marks.append(axes.path(edge, css=css, closed=True))
    marks += [axes.path(part, css="known") for part in _unbroken(x, past, plot)]
    marks.append(axes.path(_points(at, opening["q50"], plot), css="median"))
    marks += _labels(data, unit, plot, first=x[0], origin=origin, last=x[-1])
    return axes.drawing(plot, label=_label(data), marks="".join(marks), css="fan")


def _label(data: ReportData) -> str:
    return f"{data.symbol} {data.target}: the last {SHOWN_SESSIONS} sessions, then median, 80 % and 90 % interval"


def _points(x: Sequence[float], values: Sequence[float], plot: Axes) -> list[tuple[float, float]]:
    return [(place, plot.y(value)) for place, value in zip(x, values, strict=True)]


def _unbroken(x: Sequence[float], values: Sequence[float], plot: Axes) -> list[list[tuple[float, float]]]:
    """The line through the known values, cut where one is unknown."""
    parts: list[list[tuple[float, float]]] = [[]]
    for place, value in zip(x, values, strict=False):
        if math.isfinite(value):
            parts[-1].append((place, plot.y(value)))
        else:
            parts.append([])
    return [part for part in parts if len(part) > 1]


def _labels(data: ReportData, unit: Unit, plot: Axes, *, first: float, origin: float, last: float) -> list[str]:
    """The oldest session, the origin and the last session below the plot, and tomorrow's median above it."""
    row, oldest = data.rows.iloc[0], data.history.index[-SHOWN_SESSIONS:][0]
    below = plot.floor + 24
    return [
        axes.line(origin, axes.TOP, origin, plot.floor, css="grid"),
        axes.text(first, below, short_day(oldest), css=""),
        axes.text(origin - 6, below, short_day(data.origin), css="end"),
        axes.text(last, below, short_day(data.rows["target_session"].iloc[-1]), css="end"),
        axes.text(last, 14, f"{short_day(row['target_session'])}: {unit.text(float(row['q50']))}", css="end strong"),
    ]
