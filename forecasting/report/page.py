"""The pages: a night as one self-contained HTML file, its past nights inside it as JSON for its script; the index."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
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

_FINER = 4
"""Digits more than shown: rounded twice, two numbers in 10 ** _FINER can differ in the last digit
from the rest of the page and from `show`, and all digits would double the size."""


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
    shown = (
        units.as_day,
        units.long_day,
        units.short_day,
        units.span_of_days,
        units.instant,
        units.seconds,
    )
    others = (
        units.percent,
        units.p_value,
        quantity,
        wording.forecaster_label,
        markdown_text,
        table_csv,
    )
    made.filters |= {show.__name__: show for show in (*shown, *others)}
    made.filters |= {"cleaned": plain_text, "plain": lambda text: ordinary_spaces(plain_text(text))}
    return made


def render_index(lines: Sequence[SymbolLine]) -> str:
    """The index: a row a symbol and target, the most unusual first.

    Its script sorts, filters and shows ages.
    """
    lines = sorted(lines, key=lambda line: -line.unusualness)
    return environment().get_template("index.html").render(lines=lines, csv=index_csv(lines))


def render_page(page: PageData, *, links: Sequence[tuple[str, str]] = ()) -> str:
    """The page of a night, with `links` (text, address) to others; it makes no network request."""
    data = page.night
    track = data.record
    comparisons = data.record.comparisons(data.record.skills)
    against, skill = record.skill_over_time(track)
    per_horizon = comparisons[comparisons["horizon"] > 0]
    limit = max(0.05, float(per_horizon["skill_pinball"].abs().max())) if len(per_horizon) else 0.05
    # One session ahead, as the sentence at the top of the page: the same nights, so the same best
    # baseline.
    ahead = per_horizon[per_horizon["horizon"] == 1]
    network_last = ahead.assign(is_network=ahead["forecaster"] == LSTM).sort_values(
        ["is_network", "their_pinball"]
    )
    bars = {
        name: charts.skill_bars(
            dict(zip(rows["horizon"], rows["skill_pinball"], strict=True)), limit=limit
        )
        for name, rows in per_horizon.groupby("forecaster")
    }
    shown = {
        "data": data,
        "page": page,
        "unit": data.unit,
        "label": TARGETS[data.target].label,
        "links": links,
        "nights": embedded(page),
        "costs": _cost_rows(data),
    }
    shown |= {"track": track, "past": track.ahead(1), "forecasters": forecasters(page)}
    shown |= {"skill": skill, "skill_against": wording.forecaster_label(against)}
    shown |= {"comparisons": comparisons, "skills": network_last.to_dict("records"), "bars": bars}
    return environment().get_template("page.html").render(shown)


def _cost_rows(data: ReportData) -> list[dict[Any, Any]]:
    rows: list[dict[Any, Any]] = []
    for ratio in sorted(
        {*map(float, RATIOS[1:]), *([] if data.cost_ratio is None else [data.cost_ratio])}
    ):
        if costs := record.realised_costs(data.record, ratio):
            tomorrow = record.cost_quantiles(data.rows, ratio).iloc[0]
            best = costs[1] if len(costs) > 1 else None
            rows.append(costs[0] | {"ratio": ratio, "tomorrow": tomorrow, "best": best})
    return rows


def forecasters(page: PageData) -> dict[str, str]:
    """Name and label of every forecaster with a forecast of the nights in the page, the network first."""
    names = sorted(set(page.issued["name"]), key=lambda name: (name != LSTM, name))
    return {
        name: "the network" if name == LSTM else wording.forecaster_label(name) for name in names
    }


def embedded(page: PageData) -> str:
    """Past nights as issued, which the page's script draws when a reader picks one.

    JSON, safe inside a script element.

    Sessions are listed once and referred to by their place; values and quantiles are in the page's
    unit. `basis` of a night is what a value of the page is multiplied by to be on its share basis,
    1 where it is absent.
    """
    data = page.night
    unit = data.unit
    values = {
        units.as_day(day): float(value) / unit.scale for day, value in data.history["value"].items()
    }
    settled = {units.as_day(day): bool(flag) for day, flag in data.history["settled"].items()}
    named = [*page.issued["origin_session"].unique(), *page.issued["target_session"].unique()]
    sessions = sorted({*values, *map(units.as_day, named)})
    place = {session: position for position, session in enumerate(sessions)}
    shown = [values.get(session, math.nan) for session in sessions]
    document = {
        "symbol": data.symbol,
        "target": data.target,
        "unit": {**vars(unit), "name": unit.name},
        "from_zero": not TARGETS[data.target].moves_width,
        "subject": wording.headline(data)["subject"].replace(" is ", " was "),
        "forecasters": forecasters(page),
        "sessions": [session.isoformat() for session in sessions],
        "values": [
            round(value, unit.decimals + _FINER) if math.isfinite(value) else None
            for value in shown
        ],
        "provisional": [place[session] for session in sessions if not settled.get(session, True)],
        "notes": {
            place[session]: notes for session in sessions if (notes := data.special_days(session))
        },
        "nights": _nights(data, page.issued, place),
    }
    return json.dumps(document, separators=(",", ":")).replace("<", "\\u003c")


def _nights(data: ReportData, rows: pd.DataFrame, place: dict[date, int]) -> list[dict[str, Any]]:
    unit = data.unit
    sessions = list(place)
    rows = rows.sort_values(["origin_session", "horizon"], kind="stable")
    scaled = rows[[*QUANTILE_COLUMNS, "last_value"]].to_numpy(dtype=float) / unit.scale
    *quantiles, last = np.round(scaled, unit.decimals + _FINER).T
    minutes = (
        pd.DatetimeIndex(rows["issued_at"]).tz_convert(None).to_numpy().astype("datetime64[m]")
    )
    as_stored = ("name", "role", "kind", "status", "reason", "split_factor", "parts")
    columns = {name: rows[name].tolist() for name in as_stored}
    columns |= {"issued": np.datetime_as_string(minutes).tolist(), "last": last.tolist()}
    columns["quantiles"] = np.stack(quantiles, axis=1).tolist()
    for name in ("origin_session", "target_session"):
        columns[name] = (
            rows[name].map({day: place[units.as_day(day)] for day in rows[name].unique()}).tolist()
        )
    # Plain rows: a frame a night and forecaster took a second for 250 nights.
    each_row = (
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    )
    nights: list[dict[str, Any]] = []
    for _, night in groupby(each_row, key=itemgetter("origin_session")):
        forecasts: dict[str, list[dict[Any, Any]]] = {}
        for row in night:
            forecasts.setdefault(row["name"], []).append(row)
        each = [row for forecast in forecasts.values() for row in forecast]
        published = next((row for row in each if row["role"] == CHAMPION), each[0])
        ours = forecasts[published["name"]]
        factor = published["split_factor"]
        basis = TARGETS[data.target].to_issued(1.0, factor)
        origin = sessions[published["origin_session"]]
        days = [sessions[row["target_session"]] for row in ours]
        dated = zip(days, ours, strict=True)
        whys = [
            Why(
                data.target,
                day,
                data.special_days(day, known=origin),
                row["parts"],
            )
            for day, row in dated
        ]
        nights.append(
            {
                "origin": published["origin_session"],
                "issued": f"{published['issued']}+00:00",
                "kind": published["kind"],
                "published": published["name"],
                "reason": published["reason"] if published["status"] == "fallback" else "",
                "last": published["last"] if math.isfinite(published["last"]) else None,
                "targets": [row["target_session"] for row in ours],
                "forecasts": {
                    name: [row["quantiles"] for row in theirs]
                    for name, theirs in forecasts.items()
                    if len(theirs) == len(ours)
                },
                **({} if basis == 1.0 else {"basis": basis}),
                **({"why": _why_document(whys, unit)} if whys[0].parts else {}),
            }
        )
    return nights


def _why_document(whys: Sequence[Why], unit: units.Unit) -> dict[str, Any]:
    """Why the medians of a night are what they are.

    What the sentence of the first is made of, and each in brief.
    """
    factors = [(name, round(factor, 2)) for name, factor in wording.named_parts(whys[0])]
    against = (
        {"against": [why.against_usual(math.nan) for why in whys]}
        if TARGETS[whys[0].target].moves_width
        else {}
    )
    brief = [*map(wording.brief_why, whys)]
    return {
        "usual": wording.usual_level(whys[0], unit),
        "factors": factors,
        "brief": brief,
        **against,
    }
