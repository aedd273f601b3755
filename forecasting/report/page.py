"""The page of a night: one self-contained HTML file, its past nights inside it as JSON for its script."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from forecasting.evaluate.scores import RATIOS
from forecasting.report import charts, record, wording
from forecasting.report.night_view import ReportData
from forecasting.report.units import Unit, as_day, instant, long_day, p_value, percent, short_day
from forecasting.vocabulary import CHAMPION, LSTM, QUANTILE_COLUMNS

if TYPE_CHECKING:
    from jinja2 import Environment

RESTATED_SHOWN = 10
CHAMPIONS_SHOWN = 10
PAST_SHOWN = 20

_OF_A_NIGHT = ("name", "role", "kind", "status", "reason", "split_factor")
_LAYOUTS: tuple[charts.Layout, ...] = ("wide", "narrow")
_FINER = 4
"""Digits more than shown: rounded twice, two numbers in 10 ** _FINER can differ in the last digit from the rest of the
page and from `show`, and all digits would double the size."""


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Jinja with the package's templates: every value is escaped, an undefined one raises."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("forecasting.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "day": as_day,
        "long_day": long_day,
        "short_day": short_day,
        "percent": percent,
        "p_value": p_value,
    }
    made.filters["forecaster"] = wording.forecaster_label
    return made


def stale_after(session: date) -> str:
    """Noon UTC of the day after the first session forecast, ISO text; a newer night is due by then on any exchange.

    The session has closed everywhere by then, and the night that follows it is made in the early hours.
    """
    return datetime.combine(session + timedelta(1), time(12), tzinfo=UTC).isoformat()


def render_page(data: ReportData, *, links: Sequence[tuple[str, str]] = ()) -> str:
    """The whole HTML page; it makes no network request.

    Args:
        data: The night.
        links: Text and address of each other page, as of the index.
    """
    issued, first = data.rows["issued_at"].iloc[0], data.rows["target_session"].iloc[0]
    past = data.record.ahead(1)
    return (
        environment()
        .get_template("page.html")
        .render(
            data=data,
            links=links,
            unit=data.unit,
            what=wording.TARGETS[data.target],
            headline=wording.headline(data),
            usual=wording.usual_sentence(data),
            why=wording.why(data),
            alike=wording.alike(data),
            why_chart=charts.why_bars(wording.named_parts(data)),
            so_far=wording.record_sentence(data),
            notices=wording.notices(data),
            issued_at=issued,
            issued=instant(issued),
            stale_after=stale_after(first),
            # A replay and the sample are old on purpose, and say so.
            may_be_stale="replay" not in set(data.rows["kind"]),
            nights=embedded(data),
            forecasters=forecasters(data),
            past=[charts.past_chart(data, layout) for layout in _LAYOUTS] if len(past) else [],
            past_rows=past.iloc[: -PAST_SHOWN - 1 : -1].to_dict("records"),
            counted=_counted(data.record),
            first_score=long_day(first),
            **_record_figures(data),
            costs=_cost_rows(data),
            restated=_restated(data),
            **_champions(data),
            facts=wording.fact_groups(data),
            stages=wording.stage_rows(data),
            findings=wording.finding_rows(data),
            findings_left_out=max(0, len(data.findings) - wording.FINDINGS_SHOWN),
        )
    )


def _counted(track: record.TrackRecord) -> str:
    if not track.origins:
        return ""
    days = track.published["origin_session"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(track.kinds.items()))
    if track.origins == 1:
        return f"one night, {days.min()} ({kinds})"
    return f"{track.origins} nights from {days.min()} to {days.max()} ({kinds})"


def _record_figures(data: ReportData) -> dict[str, Any]:
    """Skill, skill over time, coverage, places of the actuals and errors by day; empty where too little is known."""
    track, comparisons = data.record, data.record.comparisons
    against, line = record.skill_over_time(track)
    against = wording.forecaster_label(against)
    shares = record.pit_histogram(track)
    each = comparisons[comparisons["horizon"] > 0]
    limit = max(0.05, float(each["skill_pinball"].abs().max())) if len(each) else 0.05
    # One session ahead, as the sentence at the top of the page: the same nights, so the same best baseline.
    ahead = each[each["horizon"] == 1]
    network_last = ahead.assign(is_network=ahead["forecaster"] == LSTM).sort_values(["is_network", "their_pinball"])
    skills = network_last.to_dict("records")
    for row in skills:
        own = each[each["forecaster"] == row["forecaster"]].set_index("horizon")["skill_pinball"]
        row["bars"] = charts.skill_bars({int(horizon): float(skill) for horizon, skill in own.items()}, limit=limit)
    coverages = record.coverages(track)
    bands = zip(coverages["share"], coverages["low"], coverages["high"], coverages["level"], strict=True)
    coverages["strip"] = [charts.coverage_strip(*band) for band in bands]
    return {
        "origins": track.origins,
        "fallbacks": track.fallbacks,
        "skills": skills,
        "losses": comparisons.to_dict("records"),
        "skill_against": against,
        "skill_lines": [charts.skill_line(line, layout, against=against) for layout in _LAYOUTS] if len(line) else [],
        "skill_nights": record.ENOUGH_NIGHTS,
        "coverages": [(level, rows.to_dict("records")) for level, rows in coverages.groupby("level")],
        "enough_live": record.ENOUGH_LIVE,
        "pit": charts.pit_bars(shares) if len(shares) else "",
        "shares": shares.to_dict("records"),
        "enough": record.ENOUGH_FOR_SHARES,
        "days": record.errors_by_day(track, data.special_days).to_dict("records"),
    }


def _cost_rows(data: ReportData) -> list[dict[Any, Any]]:
    """A row a cost ratio above 1, and for the one that is set: tomorrow's quantile, and costs one session ahead."""
    rows: list[dict[Any, Any]] = []
    for ratio in sorted({*map(float, RATIOS[1:]), *([] if data.cost_ratio is None else [data.cost_ratio])}):
        costs = record.realised_costs(data.record, ratio).to_dict("records")
        if not costs:
            return []
        best = costs[1] if len(costs) > 1 else None
        tomorrow = float(record.cost_quantiles(data.rows, ratio).iloc[0])
        rows.append(costs[0] | {"ratio": ratio, "level": wording.level_name(ratio), "tomorrow": tomorrow, "best": best})
    return rows


def _restated(data: ReportData) -> dict[str, Any] | None:
    """How many sessions were restated, and the newest of them; None where no first prints are given."""
    if (first := data.first_prints) is None or first.empty:
        return None
    changed = record.restated(first, data.history["value"].astype(float).reindex(first.index), target=data.target)
    rows = changed.head(RESTATED_SHOWN).to_dict("records")
    return {"sessions": len(first), "changed": len(changed), "typical": changed["change"].abs().median(), "rows": rows}


def _champions(data: ReportData) -> dict[str, Any]:
    """The newest champions, and how many more there were."""
    if data.champions is None:
        return {"champions": [], "champions_left_out": 0}
    newest_first = data.champions.sort_values(["from_session", "decided_at"], ascending=False)
    rows = newest_first.head(CHAMPIONS_SHOWN).to_dict("records")
    return {"champions": rows, "champions_left_out": len(newest_first) - len(rows)}


def forecasters(data: ReportData) -> dict[str, str]:
    """Name and label of every forecaster with a forecast of the nights in the page, the network first."""
    names = sorted(set(_issued(data)["name"]), key=lambda name: (name != LSTM, name))
    return {name: "the network" if name == LSTM else wording.forecaster_label(name) for name in names}


def embedded(data: ReportData) -> str:
    """Past nights as issued, which the page's script draws when a reader picks one: JSON, safe inside a script element.

    Sessions are listed once and referred to by their place; values and quantiles are in the page's unit. `basis` of a
    night is what a value of the page is multiplied by to be on its share basis, 1 where it is absent.
    """
    rows, unit = _issued(data), data.unit
    values = {as_day(day): float(value) for day, value in data.history["value"].items()}
    settled = {as_day(day): bool(flag) for day, flag in data.history["settled"].items()}
    named = [*rows["origin_session"].unique(), *rows["target_session"].unique()]
    sessions = sorted({*values, *map(as_day, named)})
    place = {session: position for position, session in enumerate(sessions)}
    document = {
        "unit": {"decimals": unit.decimals, "before": unit.before, "after": unit.after, "name": unit.name},
        "from_zero": data.target != "close",
        "subject": wording.headline(data)["subject"].replace(" is ", " was "),
        "forecasters": forecasters(data),
        "sessions": [session.isoformat() for session in sessions],
        "values": [_number(values.get(session, math.nan), unit) for session in sessions],
        "provisional": [place[session] for session in sessions if not settled.get(session, True)],
        "notes": {place[session]: notes for session in sessions if (notes := data.special_days(session))},
        "nights": _nights(data, rows, place),
    }
    return json.dumps(document, separators=(",", ":")).replace("<", "\\u003c")


def _issued(data: ReportData) -> pd.DataFrame:
    """The forecasts of the nights that a reader can pick; this night's own where no others are given."""
    if data.issued is not None:
        return data.issued
    return data.forecasts.assign(name=data.model["name"], role=CHAMPION, split_factor=1.0)


def _nights(data: ReportData, rows: pd.DataFrame, place: dict[date, int]) -> list[dict[str, Any]]:
    """The nights, oldest first. Plain lists: a frame a night and forecaster took a second for 250 nights."""
    unit = data.unit
    in_order = rows.sort_values(["origin_session", "horizon"], kind="stable")
    scaled = in_order[[*QUANTILE_COLUMNS, "last_value"]].to_numpy(dtype=float) / unit.scale
    rounded = np.round(scaled, unit.decimals + _FINER)
    columns: dict[str, list[Any]] = {name: in_order[name].tolist() for name in _OF_A_NIGHT}
    for name, session in (("origin", "origin_session"), ("target", "target_session")):
        columns[name] = in_order[session].map({day: place[as_day(day)] for day in in_order[session].unique()}).tolist()
    columns |= {"quantiles": rounded[:, :-1].tolist(), "last": rounded[:, -1].tolist()}
    minutes = pd.DatetimeIndex(in_order["issued_at"]).tz_convert(None).to_numpy().astype("datetime64[m]")
    columns["issued"] = np.datetime_as_string(minutes).tolist()
    starts = np.flatnonzero(np.diff(columns["origin"], prepend=-1)).tolist()
    return [_night(data, columns, range(*bounds)) for bounds in pairwise([*starts, len(in_order)])]


def _night(data: ReportData, columns: dict[str, list[Any]], rows: range) -> dict[str, Any]:
    """One night: what was published, by its forecaster's name, and every forecaster's quantiles by horizon."""
    names = columns["name"]
    published = next((row for row in rows if columns["role"][row] == CHAMPION), rows[0])
    targets = [columns["target"][row] for row in rows if names[row] == names[published]]
    by_name: dict[str, list[list[float]]] = {}
    for row in rows:
        by_name.setdefault(str(names[row]), []).append(columns["quantiles"][row])
    factor, last = float(columns["split_factor"][published]), columns["last"][published]
    basis = {"volume": 1.0 / factor, "close": factor, "range": 1.0}[data.target]
    night: dict[str, Any] = {
        "origin": columns["origin"][published],
        "issued": f"{columns['issued'][published]}+00:00",
        "kind": str(columns["kind"][published]),
        "published": str(names[published]),
        "reason": str(columns["reason"][published]) if columns["status"][published] == "fallback" else "",
        "last": last if math.isfinite(last) else None,
        "targets": targets,
        "forecasts": {name: quantiles for name, quantiles in by_name.items() if len(quantiles) == len(targets)},
    }
    return night if basis == 1.0 else night | {"basis": basis}


def _number(value: float, unit: Unit) -> float | None:
    return round(value / unit.scale, unit.decimals + _FINER) if math.isfinite(value) else None
