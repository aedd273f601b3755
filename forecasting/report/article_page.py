"""The article's experiment as one page: each variant's error, the plot with the red line, the test sessions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from forecasting.article.experiment import TRAIN_ROWS, ArticleResult, Variant
from forecasting.report.environment import environment

_WIDTH, _HEIGHT = 1000.0, 340.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 990.0, 14.0, 312.0


@dataclass(frozen=True)
class SvgLine:
    """A series of a chart: its name, its CSS class and its points in SVG's notation."""

    name: str
    css: str
    points: str


@dataclass(frozen=True)
class SvgChart:
    """What the template draws: lines in user units of a 1000 x 340 box.

    Attributes:
        label: Text alternative of the chart.
        lines: Actual first.
        levels: (y, text) of the horizontal grid.
        days: (x, text) of the labels below.
        split_x: Position of the red line; None without one.
    """

    label: str
    lines: tuple[SvgLine, ...]
    levels: tuple[tuple[float, str], ...]
    days: tuple[tuple[float, str], ...]
    split_x: float | None


def render_article(result: ArticleResult) -> str:
    """One self-contained HTML page: table, all rows with the red line at the split, test sessions, training losses."""
    scale, unit = _scale(result.volume)
    printed, ahead, rest = result.variants[0], result.variants[2], result.variants[3:]
    return (
        environment()
        .get_template("article.html")
        .render(
            result=result,
            trained=TRAIN_ROWS,
            unit=unit,
            scale=scale,
            rows=result.table().to_dict("records"),
            whole=_chart(result.volume, (printed,), split=TRAIN_ROWS, scale=scale),
            tested=_chart(result.volume.iloc[TRAIN_ROWS:], (ahead, *rest), split=None, scale=scale),
        )
    )


def _scale(volume: pd.Series) -> tuple[float, str]:
    typical = float(volume.median())
    size, letter = next((pair for pair in ((1e9, "B"), (1e6, "M")) if typical >= pair[0]), (1e3, "k"))
    return size, f"{letter} shares"


def _chart(volume: pd.Series, variants: tuple[Variant, ...], *, split: int | None, scale: float) -> SvgChart:
    series = [("Actual", volume), *((variant.name, variant.forecast.reindex(volume.index)) for variant in variants)]
    top = max(float(values.max()) for _, values in series)
    step = (_RIGHT - _LEFT) / max(len(volume) - 1, 1)
    every = max(len(volume) // 8, 1)
    sessions = pd.DatetimeIndex(volume.index)
    shown = range(every // 2, len(volume) - every // 3, every)
    names = ", ".join(name for name, _ in series)
    return SvgChart(
        label=f"Volume, {sessions[0].date()} to {sessions[-1].date()}: {names}.",
        lines=tuple(
            SvgLine(name, f"s{i}", _points(values, top=top, step=step)) for i, (name, values) in enumerate(series)
        ),
        levels=tuple((_y(level, top), f"{level / scale:g}") for level in _levels(top)),
        days=tuple((_LEFT + i * step, sessions[i].date().isoformat()) for i in shown),
        # Between the last training session and the first test session.
        split_x=None if split is None else _LEFT + (split - 0.5) * step,
    )


def _points(values: pd.Series, *, top: float, step: float) -> str:
    places = enumerate(values.to_numpy(dtype=float))
    return " ".join(f"{_LEFT + i * step:.1f},{_y(value, top):.1f}" for i, value in places if not math.isnan(value))


def _y(value: float, top: float) -> float:
    # From zero: an axis of volume that starts elsewhere exaggerates every change.
    return _BOTTOM - (_BOTTOM - _TOP) * max(value, 0.0) / top


def _levels(top: float) -> list[float]:
    size = 10.0 ** math.floor(math.log10(top))
    step = next(size * part for part in (0.2, 0.5, 1.0, 2.0) if top / (size * part) <= 5)
    return [step * i for i in range(int(top / step) + 1)]
