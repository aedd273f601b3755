"""The picture of the README: forty forecasts with their actuals, and the next five sessions.

    make demo
    python benchmarks/picture.py > docs/forecasts.svg

Reads the newest published forecasts of a ledger, by default the demo's, and those issued one
session ahead before them. The demo's bars are real, of the S&P 500 index.
"""

import argparse
import sys
from typing import Any

import pandas as pd

import forecasting as fc
from forecasting.preprocess.future_covariates import calendar_notes
from forecasting.report import charts
from forecasting.report.charts import BANDS, Axes
from forecasting.report.units import Unit, unit_for
from forecasting.sessions import exchange_of

WIDTH = 960.0
HEIGHT = 400.0
PAST = 40
# height of title and legend, above and below the plot
_HEAD = 46.0
_FOOT = 30.0
_FAINTEST = BANDS[:2]  # the intervals of 90 and 80%
# Days that the calendar announces and that move the volume most
_NOTED = ("half day", "triple witching")

# An image in a page of GitHub has no style of the page's: it carries its own, and its own
# background in both themes.
_STYLE = """<style>
svg { --paper: #ffffff; --ink: #1b1f24; --muted: #59626d; --grid: #e4e2dc; --rule: #dcd9d1; --tint: #f1f6f6;
  --outer: #d3e6e7; --inner: #a5cdd0; --median: #0b6b74; --warm: #b3471a }
@media (prefers-color-scheme: dark) { svg { --paper: #16191d; --ink: #e9ebee; --muted: #a2abb6; --grid: #2b3138;
  --rule: #333a42; --tint: #1b2227; --outer: #1c3b3f; --inner: #286a71; --median: #6fd3da; --warm: #ff9d6b } }
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink) }
.paper { fill: var(--paper); stroke: var(--rule) } .title { font-size: 17px; font-weight: 600 }
.note { fill: var(--muted); font-size: 12px; font-style: italic }
.axis { fill: var(--muted); font-size: 12px } .end { text-anchor: end } .middle { text-anchor: middle }
.strong { font-weight: 600 } .coming { fill: var(--tint) } .grid, .floor { stroke: var(--grid) }
.band90 { fill: var(--outer) } .band80 { fill: var(--inner) }
.median { fill: none; stroke: var(--median); stroke-width: 2.4 }
.actual { fill: var(--ink); stroke: var(--paper) }
.miss { fill: var(--paper); stroke: var(--warm); stroke-width: 2.2 }
</style>"""


def main() -> None:
    """Read the ledger and print the SVG."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", default="forecasting-demo", help="the folder of the ledger")
    parser.add_argument("--symbol", default="^GSPC")
    options = parser.parse_args()
    history = fc.connect(data_dir=options.data_dir).history(options.symbol, target="volume")
    sys.stdout.write(
        picture(history, name="S&P 500 index" if options.symbol == "^GSPC" else options.symbol)
    )


def picture(history: pd.DataFrame, *, name: str) -> str:
    """The SVG of the newest published forecasts and of those with an actual, one session ahead, before them.

    Args:
        history: Columns as `Ledger.history`, of one symbol and target volume; at least two nights.
        name: Of the symbol, for the title.
    """
    published = history[history["role"] == "champion"].sort_values(["origin_session", "horizon"])
    past = published[(published["horizon"] == 1) & published["actual"].notna()].iloc[-PAST:]
    ahead = published[published["origin_session"] == published["origin_session"].max()]
    symbol = str(history["symbol"].iloc[0])
    usual = float(past["actual"].median())
    unit = unit_for("volume", usual=usual, symbol=symbol, currency="")
    values = [*past["q05"], *past["q95"], *past["actual"], *ahead["q95"]]
    plot = charts.make_axes(
        values, width=WIDTH - 32, height=HEIGHT - _HEAD - _FOOT, unit=unit, from_zero=True
    )
    step = (plot.right - plot.left) / (len(past) + len(ahead))
    fan_left = plot.left + len(past) * step
    hits = int(past["inside_80"].astype(bool).sum())
    marks = [
        charts.box(fan_left, charts.TOP, plot.floor, width=plot.right - fan_left, css="coming"),
        charts.grid(plot, unit),
        *(
            _night(row, plot, x=plot.left + k * step, step=step)
            for k, row in enumerate(past.to_dict("records"))
        ),
        _fan(ahead, float(past["actual"].iloc[-1]), plot, x=fan_left - step / 2, step=step),
        _dates(
            [*past["target_session"], *ahead["target_session"]], plot, step=step, past=len(past)
        ),
        charts.text(
            plot.right - 5 * step / 2, charts.TOP - 8, "next five sessions", css="strong middle"
        ),
    ]
    return _drawing(
        "".join(marks),
        title=f"{name}: daily volume, forecast one session ahead, and actual",
        label=_label(name, past, ahead, unit),
        legend=_legend(f"{hits} of {len(past)} inside the 80% interval"),
    )


def _night(row: dict[Any, Any], plot: Axes, *, x: float, step: float) -> str:
    """One past forecast: intervals, median, and the actual, filled if inside the 80% interval."""
    middle = x + step / 2
    wide = step * 0.7
    left = middle - wide / 2
    bands = [
        charts.box(left, plot.y(row[low]), plot.y(row[high]), width=wide, css=css)
        for low, high, css in _FAINTEST
    ]
    median = charts.line(left, plot.y(row["q50"]), left + wide, plot.y(row["q50"]), css="median")
    notes = calendar_notes(
        row["target_session"].date(), exchange_of(row["symbol"], overrides={}, default="XNYS")
    )
    note = next((note for note in notes if note in _NOTED), "")
    # Below a small day and above a large one, where no other night's interval is.
    y = (
        plot.y(min(row["q05"], row["actual"])) + 17
        if note == "half day"
        else plot.y(max(row["q95"], row["actual"])) - 10
    )
    words = [charts.text(middle, y, note, css="note middle")] if note else []
    return "".join(
        [
            *bands,
            median,
            _actual(middle, plot.y(row["actual"]), inside=bool(row["inside_80"])),
            *words,
        ]
    )


def _fan(ahead: pd.DataFrame, last: float, plot: Axes, *, x: float, step: float) -> str:
    """Intervals and median of the coming sessions, opening from the last actual at `x`."""
    across = [x + k * step for k in range(len(ahead) + 1)]

    def curve(column: str) -> list[tuple[float, float]]:
        heights = [plot.y(value) for value in (last, *ahead[column])]
        return list(zip(across, heights, strict=True))

    bands = [
        charts.path([*curve(low), *curve(high)[::-1]], css=css, closed=True)
        for low, high, css in _FAINTEST
    ]
    return "".join(
        [*bands, charts.path(curve("q50"), css="median"), _actual(x, plot.y(last), inside=True)]
    )


def _dates(sessions: list[pd.Timestamp], plot: Axes, *, step: float, past: int) -> str:
    """The date under the first session of every week, and under the first and the last coming one."""
    monday = [session.to_period("W") for session in sessions]
    shown = [k for k in range(1, past - 1) if monday[k] != monday[k - 1]] + [
        past,
        len(sessions) - 1,
    ]
    labels = []
    for place, k in enumerate(shown):
        year = (
            f" {sessions[k].year}"
            if place == 0 or sessions[k].year != sessions[shown[place - 1]].year
            else ""
        )
        label = f"{sessions[k].day} {sessions[k]:%b}{year}"
        labels.append(
            charts.text(plot.left + (k + 0.5) * step, plot.floor + 18, label, css="axis middle")
        )
    return "".join(labels)


def _legend(hits: str) -> str:
    """The marks with their meanings, in one row from the left edge."""
    middle = -4.0
    parts = []
    marks = (
        ('<rect class="band90" x="0" y="-13" width="22" height="18"/>', 22, "90% interval"),
        ('<rect class="band80" x="0" y="-13" width="22" height="18"/>', 22, "80% interval"),
        (charts.line(0, middle, 22, middle, css="median"), 22, "median"),
        (_actual(6, middle, inside=True), 12, "actual, inside the 80% interval"),
        (_actual(6, middle, inside=False), 12, "outside"),
    )
    x = 0.0
    for mark, wide, words in marks:
        parts.append(
            f'<g transform="translate({x:.0f} '
            f'0)">{mark}{charts.text(wide + 7, 0, words, css="axis")}</g>'
        )
        x += wide + 7 + 6.2 * len(words) + 14
    return "".join(parts) + charts.text(WIDTH - 32 - charts.RIGHT, 0, hits, css="strong end")


def _actual(x: float, y: float, *, inside: bool) -> str:
    if inside:
        return f'<circle class="actual" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    return charts.path(
        [(x, y - 5.5), (x + 5.5, y), (x, y + 5.5), (x - 5.5, y)], css="miss", closed=True
    )


def _label(name: str, past: pd.DataFrame, ahead: pd.DataFrame, unit: Unit) -> str:
    """The text alternative."""
    first = ahead.iloc[0]
    sessions = past["target_session"]
    return (
        f"{name}: {len(past)} forecasts of daily volume with the actual, "
        f"{sessions.iloc[0]:%Y-%m-%d} to {sessions.iloc[-1]:%Y-%m-%d}; for "
        f"{first['target_session']:%Y-%m-%d} {unit.text(first['q50'])}, 80% interval "
        f"{unit.text(first['q10'], first['q90'])}."
    )


def _drawing(marks: str, *, title: str, label: str, legend: str) -> str:
    attributes = (
        f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img"'
    )
    parts = [
        f"<svg {attributes}><title>{charts.escape(label)}</title>",
        _STYLE,
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1:.0f}" height="{HEIGHT - 1:.0f}" '
        'rx="8"/>',
        charts.text(16, 30, title, css="title"),
        f'<g transform="translate(16 {_HEAD:.0f})">{marks}</g>',
        f'<g transform="translate(16 {HEIGHT - 16:.0f})">{legend}</g></svg>',
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
