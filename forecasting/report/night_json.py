"""Past nights as issued, as compact JSON inside the page: what its script draws when a reader picks a night."""

from __future__ import annotations

import json
import math
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from forecasting.report import wording
from forecasting.report.data import ReportData
from forecasting.report.days import as_day
from forecasting.report.units import Unit, unit_of
from forecasting.vocabulary import CHAMPION, LSTM, QUANTILE_COLUMNS

_OF_A_NIGHT = ("name", "role", "kind", "status", "reason", "split_factor")
_FINER = 4
"""Digits more than shown: rounded twice, two numbers in 10 ** _FINER can differ in the last digit from the rest of the
page and from `show`, and all digits would double the size."""


def forecasters(data: ReportData) -> dict[str, str]:
    """Name and label of every forecaster with a forecast of the nights in the page, the network first."""
    names = sorted(set(issued_nights(data)["name"]), key=lambda name: (name != LSTM, name))
    return {name: "the network" if name == LSTM else wording.forecaster_label(name) for name in names}


def embedded(data: ReportData) -> str:
    """The JSON text, safe inside a script element.

    Sessions are listed once and referred to by their place; values and quantiles are in the page's unit. `basis` of a
    night is what a value of the page is multiplied by to be on its share basis, 1 where it is absent.
    """
    rows, unit = issued_nights(data), unit_of(data)
    values = {as_day(day): float(value) for day, value in data.history["value"].items()}
    settled = {as_day(day): bool(flag) for day, flag in data.history["settled"].items()}
    sessions = sorted({*values, *_days(rows["origin_session"]), *_days(rows["target_session"])})
    place = {session: position for position, session in enumerate(sessions)}
    document = {
        "unit": {"decimals": unit.decimals, "before": unit.before, "after": unit.after, "name": unit.name},
        "from_zero": data.target != "close",
        "forecasters": forecasters(data),
        "sessions": [session.isoformat() for session in sessions],
        "values": [_number(values.get(session, math.nan), unit) for session in sessions],
        "provisional": [place[session] for session in sessions if not settled.get(session, True)],
        "notes": {place[session]: found for session in sessions if (found := wording.day_notes(data, session))},
        "nights": _nights(data, rows, place),
    }
    return json.dumps(document, separators=(",", ":")).replace("<", "\\u003c")


def issued_nights(data: ReportData) -> pd.DataFrame:
    """The forecasts of the nights that a reader can pick; this night's own where no others are given."""
    if data.issued is not None:
        return data.issued
    return data.forecasts.assign(name=data.model["name"], role=CHAMPION, split_factor=1.0)


def _days(sessions: pd.Series) -> set[date]:
    return {as_day(session) for session in sessions.unique()}


def _nights(data: ReportData, rows: pd.DataFrame, place: dict[date, int]) -> list[dict[str, Any]]:
    """The nights, oldest first. Plain lists: a frame a night and forecaster took a second for 250 nights."""
    unit = unit_of(data)
    in_order = rows.sort_values(["origin_session", "horizon"], kind="stable")
    scaled = in_order[[*QUANTILE_COLUMNS, "last_value"]].to_numpy(dtype=float) / unit.scale
    rounded = np.round(scaled, unit.decimals + _FINER)
    columns: dict[str, list[Any]] = {name: in_order[name].tolist() for name in _OF_A_NIGHT}
    for name, session in (("origin", "origin_session"), ("target", "target_session")):
        columns[name] = in_order[session].map({one: place[as_day(one)] for one in in_order[session].unique()}).tolist()
    columns |= {"quantiles": rounded[:, :-1].tolist(), "last": rounded[:, -1].tolist()}
    minutes = pd.DatetimeIndex(in_order["issued_at"]).tz_convert(None).to_numpy().astype("datetime64[m]")
    columns["issued"] = np.datetime_as_string(minutes).tolist()
    starts = np.flatnonzero(np.diff(columns["origin"], prepend=-1)).tolist()
    return [_night(data, columns, range(*bounds)) for bounds in pairwise([*starts, len(in_order)])]


def _night(data: ReportData, columns: dict[str, list[Any]], rows: range) -> dict[str, Any]:
    """One night: what was published, by its forecaster's name, and every forecaster's quantiles by horizon."""
    names = columns["name"]
    published = next((row for row in rows if columns["role"][row] == CHAMPION), rows[0])
    own = [row for row in rows if names[row] == names[published]]
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
        "targets": [columns["target"][row] for row in own],
        "forecasts": {name: found for name, found in by_name.items() if len(found) == len(own)},
    }
    return night if basis == 1.0 else night | {"basis": basis}


def _number(value: float, unit: Unit) -> float | None:
    return round(value / unit.scale, unit.decimals + _FINER) if math.isfinite(value) else None
