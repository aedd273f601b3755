"""The geometry of a chart: positions of values and sessions, and the round numbers of an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from forecasting.report.units import Unit

TOP, BOTTOM, RIGHT = 26.0, 42.0, 8.0
"""Margins of the plot area, in SVG units, which are CSS pixels at full size."""


@dataclass(frozen=True)
class Axes:
    """One chart's plot area and value axis.

    Attributes:
        width: Of the whole drawing.
        height: Of the whole drawing.
        left: Where the plot area begins; the value labels are to its left.
        low: Value at the bottom edge.
        high: Value at the top edge.
        ticks: Values with a grid line.
    """

    width: float
    height: float
    left: float
    low: float
    high: float
    ticks: tuple[float, ...]

    @property
    def floor(self) -> float:
        """The y of the bottom edge."""
        return self.height - BOTTOM

    @property
    def right(self) -> float:
        """The x of the right edge."""
        return self.width - RIGHT

    def y(self, value: float) -> float:
        """The height at which a value lies; y grows downwards."""
        return self.floor - (value - self.low) / (self.high - self.low) * (self.floor - TOP)


def make_axes(values: Iterable[float], *, width: float, height: float, unit: Unit, from_zero: bool) -> Axes:
    """A plot area whose axis holds all of `values`, with three to six round ticks.

    Args:
        values: At least one of them finite; others are ignored.
        width: Of the whole drawing.
        height: Of the whole drawing.
        unit: Its labels decide the left margin.
        from_zero: Begin the axis at 0, for bars whose length is the value.
    """
    finite = [value for value in values if math.isfinite(value)]
    lowest, highest = (0.0 if from_zero else min(finite)), max(finite)
    room = (highest - lowest or abs(highest) or 1.0) * 0.06
    low, high = (0.0 if from_zero else lowest - room), highest + room
    ticks = round_ticks(low, high)
    left = 14.0 + 6.4 * max(len(tick_label(tick, unit, ticks)) for tick in ticks)
    return Axes(width, height, left, low, high, ticks)


def round_ticks(low: float, high: float) -> tuple[float, ...]:
    """The multiples of a 1, 2 or 5 step between `low` and `high`, both included: three to six of them."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.75)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(k * step for k in range(first, last + 1))


def tick_label(tick: float, unit: Unit, ticks: Sequence[float]) -> str:
    """A tick without needless decimals."""
    shown = [value / unit.scale for value in ticks]
    fine = 1e-6 * (max(shown) - min(shown))
    decimals = next((d for d in range(9) if all(abs(round(value, d) - value) <= fine for value in shown)), 9)
    return f"{unit.before}{tick / unit.scale:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def grid(plot: Axes, unit: Unit) -> str:
    """Grid lines with their labels, and the unit above them."""
    parts = [] if unit.before else [text(0.0, 12.0, unit.name, css="axis")]
    for tick in plot.ticks:
        y = plot.y(tick)
        css = "floor" if tick == 0 else "grid"
        parts.append(line(plot.left, y, plot.right, y, css=css))
        parts.append(text(plot.left - 6, y + 4, tick_label(tick, unit, plot.ticks), css="axis end"))
    return "".join(parts)


def line(x1: float, y1: float, x2: float, y2: float, *, css: str) -> str:
    """A straight line."""
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def box(x: float, y1: float, y2: float, *, width: float, css: str) -> str:
    """A rectangle between two heights, given in either order."""
    top, height = min(y1, y2), max(abs(y2 - y1), 0.5)
    return f'<rect class="{css}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def text(x: float, y: float, label: str, *, css: str) -> str:
    """A label; `css` holds middle or end when x is not its left edge."""
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}">{escape(label)}</text>'


def path(points: Iterable[tuple[float, float]], *, css: str, closed: bool = False) -> str:
    """A polyline, or a polygon when closed."""
    steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="{css}" d="M{steps}{"Z" if closed else ""}"/>'


def slot(x: float, plot: Axes, *, width: float, tip: str, marks: str) -> str:
    """The marks of one session, under an invisible area that shows `tip` under the pointer."""
    area = box(x, TOP - 8, plot.floor, width=width, css="hit")
    return f'<g class="slot"><title>{escape(tip)}</title>{marks}{area}</g>'


def drawing(plot: Axes, *, label: str, marks: str, css: str) -> str:
    """The SVG element; `label` is its text alternative."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart {css}" viewBox="0 0 {plot.width:.0f} {plot.height:.0f}" '
        f'role="img" aria-label="{escape(label)}">{marks}</svg>'
    )
