"""The charts of skill over time and of where the actuals fell."""

from __future__ import annotations

import pandas as pd

from forecasting.report import axes
from forecasting.report.track_record_charts import SIZES, Layout, session_labels
from forecasting.report.units import Unit, percent, short_day

_SHARE = Unit(0.01, 0, "", "%")
_HEIGHT = 240.0


def skill_line(skill: pd.DataFrame, layout: Layout, *, against: str) -> str:
    """Skill over time with the line of no skill, 0; above it the published forecasts lost less than the baseline."""
    width = SIZES[layout][0]
    plot = axes.make_axes([*skill["skill"], 0.0], width=width, height=_HEIGHT, unit=_SHARE, from_zero=False)
    step = (plot.right - plot.left) / len(skill)
    points, slots = [], []
    for place, row in enumerate(skill.to_dict("records")):
        x = plot.left + (place + 0.5) * step
        tip = f"20 nights to {short_day(row['session'])}\nskill {percent(row['skill'], signed=True, decimals=1)}"
        slots.append(axes.slot(x - step / 2, plot, width=step, tip=tip, marks=""))
        if row["skill"] == row["skill"]:
            points.append((x, plot.y(row["skill"])))
    marks = axes.grid(plot, _SHARE) + axes.path(points, css="median")
    marks += axes.text(plot.right - 4, plot.y(0.0) - 5, "no skill", css="axis end")
    marks += "".join(slots) + "".join(session_labels(plot, list(skill["session"]), step=step))
    last = percent(float(skill["skill"].iloc[-1]), signed=True)
    label = f"Skill against {against} over 20 nights at a time, {len(skill)} values; the last is {last}."
    return axes.drawing(plot, label=label, marks=marks, css=layout)


def pit_bars(shares: pd.DataFrame) -> str:
    """A column a gap between quantiles: observed over expected share, and the band of it by chance; 1 is right."""
    ratios = [(row["share"], row["low"], row["high"], row["expected"]) for row in shares.to_dict("records")]
    tops = [max(share, high) / expected for share, _, high, expected in ratios]
    unit = Unit(1.0, 1, "", "", bare="times as many as expected")
    plot = axes.make_axes([*tops, 1.0], width=480.0, height=_HEIGHT, unit=unit, from_zero=True)
    step = (plot.right - plot.left) / len(shares)
    marks = [axes.grid(plot, unit)]
    for place, (row, ratio) in enumerate(zip(shares.to_dict("records"), ratios, strict=True)):
        share, low, high, expected = ratio
        x = plot.left + place * step
        column = axes.box(x + step * 0.2, plot.y(share / expected), plot.floor, width=step * 0.6, css="bar")
        middle, ends = x + step / 2, (plot.y(low / expected), plot.y(high / expected))
        whisker = axes.line(middle, ends[0], middle, ends[1], css="median thin")
        tip = f"{row['place']}\n{percent(share)} of actuals, {percent(expected)} expected\n"
        tip += f"{percent(low)} to {percent(high)} by chance"
        marks.append(axes.slot(x, plot, width=step, tip=tip, marks=column + whisker))
        marks.append(axes.text(middle, plot.floor + 16, _edge(str(row["place"])), css="axis middle"))
    marks.append(axes.line(plot.left, plot.y(1.0), plot.right, plot.y(1.0), css="usual"))
    marks.append(
        axes.text((plot.left + plot.right) / 2, plot.floor + 32, "place among the quantiles, %", css="axis middle")
    )
    label = f"Share of {int(shares['n'].iloc[0])} actuals between neighbouring quantiles against the expected share."
    return axes.drawing(plot, label=label, marks="".join(marks), css="pit")


def _edge(place: str) -> str:
    return place.replace(" %", "").replace(" to ", "\N{EN DASH}").replace("below ", "<").replace("above ", ">")
