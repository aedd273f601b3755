"""The pages: a night as one HTML file, with past nights as JSON for its script; the index."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from forecasting.evaluate.scores import RATIOS
from forecasting.plain_text import markdown_text, ordinary_spaces, plain_text, quantity
from forecasting.report import charts, record, units, wording
from forecasting.report.documents import index_csv, table_csv
from forecasting.report.night_view import PageData, ReportData, SymbolLine, Why
from forecasting.targets import TARGETS
from forecasting.vocabulary import CHAMPION, LSTM, QUANTILE_COLUMNS, RANDOM

if TYPE_CHECKING:
    from jinja2 import Environment

# Digits more than shown: rounded twice, two numbers in 10 ** _FINER can differ in the last digit
# from the rest of the page and from `show`, and all digits would double the size.
_FINER = 4


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Jinja with the package's templates: values in HTML are escaped, an undefined one raises."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    made = Environment(
        loader=PackageLoader("forecasting.report"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"charts": charts, "record": record, "wording": wording, "RANDOM": RANDOM}
    filters = (
        markdown_text,
        quantity,
        table_csv,
        units.as_day,
        units.instant,
        units.long_day,
        units.p_value,
        units.percent,
        units.seconds,
        units.short_day,
        units.span_of_days,
        wording.forecaster_label,
    )
    made.filters |= {show.__name__: show for show in filters}
    made.filters |= {"cleaned": plain_text, "plain": lambda text: ordinary_spaces(plain_text(text))}
    return made


def render_index(lines: Sequence[SymbolLine]) -> str:
    """The index: a row a symbol and target, the most unusual first."""
    lines = sorted(lines, key=lambda line: -line.unusualness)
    return environment().get_template("index.html").render(lines=lines, csv=index_csv(lines))


def render_page(page: PageData, *, links: Sequence[tuple[str, str]] = ()) -> str:
    """The page of a night, with `links` (text, address) to others; it makes no network request."""
    track = page.night.record
    comparisons = track.comparisons(track.skills)
    per_horizon = comparisons[comparisons["horizon"] > 0]
    limit = max(0.05, float(per_horizon["skill_pinball"].abs().max()))
    bars = {
        name: charts.skill_bars(rows.set_index("horizon")["skill_pinball"].to_dict(), limit=limit)
        for name, rows in per_horizon.groupby("forecaster")
    }
    # One session ahead, as the sentence at the top of the page: the same nights, so the same best
    # baseline.
    ahead = comparisons[comparisons["horizon"] == 1].to_dict("records")
    best_first = sorted(ahead, key=lambda row: (row["forecaster"] == LSTM, row["their_pinball"]))
    against, skill = record.skill_over_time(track)
    template = environment().get_template("page.html")
    return template.render(
        page=page,
        data=page.night,
        links=links,
        label=TARGETS[page.night.target].label,
        nights=embedded(page),
        forecasters=forecasters(page),
        comparisons=comparisons,
        skills=best_first,
        bars=bars,
        skill=skill,
        skill_against=wording.forecaster_label(against),
        costs=_cost_rows(page.night),
    )


def _cost_rows(data: ReportData) -> list[dict[Any, Any]]:
    """A row a cost ratio, empty before the first score."""
    if data.record.ahead(1).empty:
        return []
    ratios = set(map(float, RATIOS[1:]))
    if data.cost_ratio is not None:
        ratios.add(data.cost_ratio)
    rows = []
    for ratio in sorted(ratios):
        published, *others = record.realised_costs(data.record, ratio)
        tomorrow = record.cost_quantiles(data.rows, ratio).iloc[0]
        best = others[0] if others else None
        rows.append(published | {"ratio": ratio, "tomorrow": tomorrow, "best": best})
    return rows


def forecasters(page: PageData) -> dict[str, str]:
    """Name and label of each forecaster with a forecast of these nights, the network first."""
    names = sorted(set(page.issued["name"]), key=lambda name: (name != LSTM, name))
    labels = {name: wording.forecaster_label(name) for name in names}
    if LSTM in labels:
        labels[LSTM] = "the network"
    return labels


def embedded(page: PageData) -> str:
    """Past nights as issued, as JSON that is safe inside a script element.

    The page's script draws the one that a reader picks. Sessions are listed once and referred to by
    their place; values and quantiles are in the page's unit. `basis` of a night is what a value of
    the page is multiplied by to be on its share basis, 1 where it is absent.
    """
    data = page.night
    unit = data.unit
    issued = page.issued
    issued = issued.assign(
        origin=pd.to_datetime(issued["origin_session"]).dt.date,
        session=pd.to_datetime(issued["target_session"]).dt.date,
    )
    history = data.dated
    sessions = sorted({*history.index, *issued["origin"], *issued["session"]})
    place = {session: position for position, session in enumerate(sessions)}
    unsettled = history.index[~history["settled"].astype(bool)]
    special_days = {place[session]: data.special_days(session) for session in sessions}
    document = {
        "symbol": data.symbol,
        "target": data.target,
        "unit": {**vars(unit), "name": unit.name},
        "from_zero": not TARGETS[data.target].moves_width,
        "subject": wording.headline(data)["subject"].replace(" is ", " was "),
        "forecasters": forecasters(page),
        "sessions": [session.isoformat() for session in sessions],
        "values": _numbers(history["value"].reindex(sessions), unit),
        "provisional": [place[session] for session in unsettled],
        "notes": {position: notes for position, notes in special_days.items() if notes},
        "nights": _nights(data, issued, place),
    }
    return json.dumps(document, separators=(",", ":")).replace("<", "\\u003c")


def _numbers(values: pd.Series[float], unit: units.Unit) -> list[float | None]:
    """The values in the page's unit, None for NaN."""
    shown = np.round(values.to_numpy(dtype=float) / unit.scale, unit.decimals + _FINER)
    return [value if math.isfinite(value) else None for value in shown.tolist()]


def _nights(data: ReportData, issued: pd.DataFrame, place: dict[date, int]) -> list[dict[str, Any]]:
    names = ["origin", "session", "issued_at", "name", "role", "kind", "status", "reason"]
    rows = issued.sort_values(["origin", "horizon"], kind="stable")
    numbers = rows[list(QUANTILE_COLUMNS)].to_numpy(dtype=float) / data.unit.scale
    rows = rows[[*names, "split_factor", "parts"]].assign(
        quantiles=np.round(numbers, data.unit.decimals + _FINER).tolist(),
        last=pd.Series(_numbers(rows["last_value"], data.unit), rows.index, dtype=object),
    )
    # Plain rows: a frame a night and forecaster took a second for 250 nights.
    nights = groupby(rows.to_dict("records"), key=itemgetter("origin"))
    return [_night(data, list(night), place) for _, night in nights]


def _night(data: ReportData, rows: list[dict[Any, Any]], place: dict[date, int]) -> dict[str, Any]:
    forecasts = defaultdict[str, list[dict[Any, Any]]](list)
    for row in rows:
        forecasts[row["name"]].append(row)
    published = next(row for row in rows if row["role"] == CHAMPION)
    ours = forecasts[published["name"]]
    document = {
        "origin": place[published["origin"]],
        "issued": published["issued_at"].isoformat(timespec="minutes"),
        "kind": published["kind"],
        "published": published["name"],
        "reason": published["reason"] if published["status"] == "fallback" else "",
        "last": published["last"],
        "targets": [place[row["session"]] for row in ours],
        "forecasts": {
            name: [row["quantiles"] for row in theirs] for name, theirs in forecasts.items()
        },
    }
    basis = TARGETS[data.target].to_issued(1.0, published["split_factor"])
    if basis != 1.0:
        document["basis"] = basis
    if ours[0]["parts"]:
        document["why"] = _why_document(data, ours)
    return document


def _why_document(data: ReportData, rows: Sequence[Mapping[Any, Any]]) -> dict[str, Any]:
    """What the sentence of the first session is made of, and each session in brief."""
    whys = [
        Why(
            data.target,
            row["session"],
            data.special_days(row["session"], known=row["origin"]),
            row["parts"],
        )
        for row in rows
    ]
    factors = wording.named_parts(whys[0])
    document: dict[str, Any] = {
        "usual": wording.usual_level(whys[0], data.unit),
        "factors": [(name, round(factor, 2)) for name, factor in factors],
        "brief": [wording.brief_why(why) for why in whys],
    }
    if TARGETS[data.target].moves_width:
        document["against"] = [why.against_usual(math.nan) for why in whys]
    return document
