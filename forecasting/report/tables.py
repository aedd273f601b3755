"""A night and a backtest as tables of text, and the night as one JSON document: for artifacts and the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from forecasting.report import wording
from forecasting.report.costs import cost_document, cost_quantiles
from forecasting.report.data import ReportData
from forecasting.report.days import as_day
from forecasting.report.json_text import rounded
from forecasting.report.track_record import TrackRecord, newest_records
from forecasting.report.units import Unit, p_value, percent, unit_for
from forecasting.vocabulary import QUANTILE_COLUMNS


def night_document(data: ReportData) -> dict[str, Any]:
    """The night for `json_text`: published model, origin, forecasts and track record, in the target's own unit.

    docs/terminal.md has the meaning of each key.
    """
    columns = ["target_session", "horizon", *QUANTILE_COLUMNS, "kind", "status", "reason"]
    columns += ["outside", "issued_at", "data_as_of"]
    record = data.record
    return {
        "symbol": data.symbol,
        "target": data.target,
        "series": data.fetch["title"],
        "origin_session": data.origin,
        "last_value": data.last_value,
        "usual": data.usual,
        "fetched_at": data.fetch["fetched_at"],
        "first_print": data.is_provisional,
        "model_id": data.model["id"],
        "model": data.model["name"],
        "method": data.model["method"],
        "trained_to": data.model.get("trained_to"),
        "run_id": data.run["id"],
        "mode": data.run["mode"],
        "notices": {notice.title: notice.text for notice in wording.notices(data)},
        "forecasts": [
            {**row, "special_days": wording.day_notes(data, row["target_session"])}
            for row in data.rows[columns].to_dict("records")
        ],
        "last_result": _last_result(record),
        "record": newest_records(record),
        "track_record": _record_document(record),
        "cost": cost_document(data, record),
    }


def forecast_csv(nights: Sequence[ReportData]) -> str:
    """A header and a row a symbol and session, as CSV text: every quantile, and what the session is compared with.

    With a cost ratio, that ratio and the quantile of least expected cost are the last two columns.
    """
    columns = ["target_session", "horizon", *QUANTILE_COLUMNS, "last_value", "kind", "status", "reason", "data_as_of"]
    frames = [
        data.rows[columns].assign(
            symbol=data.symbol,
            target=data.target,
            origin_session=data.origin,
            usual=data.usual,
            special_days=[", ".join(wording.day_notes(data, day)) for day in data.rows["target_session"]],
            **_cost_columns(data),
        )
        for data in nights
    ]
    first = ["symbol", "target", "origin_session"]
    cost = list(_cost_columns(nights[0])) if nights else []
    names = [*first, *columns, "usual", "special_days", *cost]
    whole = pd.concat(frames)[names] if frames else pd.DataFrame(columns=names)
    text: str = whole.apply(lambda column: column.map(rounded)).to_csv(index=False)
    return text


def _cost_columns(data: ReportData) -> dict[str, Any]:
    if (ratio := data.cost_ratio) is None:
        return {}
    return {"cost_ratio": ratio, "cost_quantile": cost_quantiles(data.rows, ratio)}


def _last_result(record: TrackRecord) -> dict[str, Any] | None:
    """The newest scored forecast one session ahead that counts, and what came; None before the first score."""
    ahead = record.ahead(1)
    if ahead.empty:
        return None
    row = ahead.iloc[-1]
    numbers = {name: float(row[name]) for name in ("q10", "q50", "q90", "actual")}
    return {"target_session": as_day(row["target_session"]), **numbers, "inside_80": bool(row["inside_80"])}


def _record_document(record: TrackRecord) -> dict[str, Any]:
    """The origins that count, and the published forecasts' losses beside each forecaster's (`TrackRecord.skills`)."""
    return {
        "origins": record.origins,
        "kinds": record.kinds,
        "fallbacks": record.fallbacks,
        "skills": [row for found in (record.skills, record.network_skills) for row in found.to_dict("records")],
    }


def day_note(data: ReportData, row: Mapping[Any, Any]) -> str:
    """Whether a fallback is published for the session of a row, and what kind of day it is."""
    status = [] if row["status"] == "ok" else [str(row["status"])]
    return ", ".join([*status, *wording.day_notes(data, row["target_session"])])


def unusual(row: Mapping[Any, Any]) -> list[str]:
    """How a published forecast differs from a live one of the network: late or replay, fallback."""
    return [str(row[name]) for name, usual in (("kind", "live"), ("status", "ok")) if row[name] != usual]


def backtest_table(document: Mapping[str, Any]) -> list[dict[str, object]]:
    """One row a horizon of a backtest's document, and one over all; as published too where that was replayed.

    Errors are in the unit of `backtest_unit`.
    """
    unit = backtest_unit(document)
    parts = {"model alone": document, "as published": document.get("as_published")}
    return [
        {
            "forecasts": name,
            "horizon": horizon,
            "error": unit.number(row["mae"]),
            "best baseline": wording.forecaster_label(str(row["best_baseline"])),
            "skill vs best": percent(row["skill_vs_best"], signed=True, decimals=1),
            "p": p_value(row["dm_p_value"]),
            "skill vs naive": percent(row["skill_vs_naive"], signed=True, decimals=1),
            "pinball": unit.number(row["pinball"], finer=1),
            "in 80 %": percent(row["coverage_80"], decimals=1),
            "in 90 %": percent(row["coverage_90"], decimals=1),
        }
        for name, part in parts.items()
        if part is not None
        for horizon, row in {"all": part["overall"], **part["horizons"]}.items()
    ]


def backtest_unit(document: Mapping[str, Any]) -> Unit:
    """The unit of a backtest's errors: about three digits of the mean one."""
    return unit_for(document["target"], usual=document["overall"]["mae"], symbol=document["symbol"], currency="")
