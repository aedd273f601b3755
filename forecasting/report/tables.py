"""A night and a backtest as plain tables, and the night as one JSON document: for artifacts and the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from forecasting.plain_text import plain_text
from forecasting.report import wording
from forecasting.report.costs import cost_document, cost_quantiles
from forecasting.report.data import ReportData
from forecasting.report.facts import finding_rows
from forecasting.report.json_text import rounded
from forecasting.report.track_record import TrackRecord, counted, track_record
from forecasting.vocabulary import PUBLISHED_LINE, QUANTILE_COLUMNS

BACKTEST_FIGURES = (
    *("mae", "best_baseline", "skill_vs_best", "skill_vs_naive"),
    *("dm_p_value", "pinball", "coverage_80", "coverage_90"),
)
"""Keys of the figures in a backtest's table."""


def night_document(data: ReportData) -> dict[str, Any]:
    """The night for `json_text`: published model, origin, forecasts and track record, in the target's own unit."""
    columns = ["target_session", "horizon", *QUANTILE_COLUMNS, "kind", "status", "reason"]
    columns += ["outside", "issued_at", "data_as_of"]
    record = track_record(data.scored)
    return {
        "symbol": data.symbol,
        "target": data.target,
        "series": data.fetch["title"],
        "origin_session": data.origin,
        "last_value": data.last_value,
        "usual": data.usual,
        "fetched_at": data.fetch["fetched_at"],
        "model_id": data.model["id"],
        "model": data.model["name"],
        "run_id": data.run["id"],
        "mode": data.run["mode"],
        "notices": {notice.title: notice.text for notice in wording.notices(data)},
        "forecasts": [
            {**row, "special_days": wording.day_notes(data, row["target_session"])}
            for row in data.rows[columns].to_dict("records")
        ],
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


def _record_document(record: TrackRecord) -> dict[str, Any]:
    """The origins that count, and the published forecasts' losses beside each forecaster's (`TrackRecord.skills`)."""
    return {
        "origins": record.origins,
        "kinds": record.kinds,
        "fallbacks": record.fallbacks,
        "skills": pd.concat([record.skills, record.network_skills]).to_dict("records"),
    }


def forecast_table(data: ReportData) -> list[dict[str, object]]:
    """One row a session: every quantile, the last value, status and reason."""
    columns = ["target_session", "horizon", *QUANTILE_COLUMNS, "last_value", "status", "reason", "outside"]
    return [
        {str(name): value if isinstance(value, int | float) else str(value) for name, value in row.items()}
        for row in data.rows[columns].to_dict("records")
    ]


def score_table(data: ReportData) -> list[dict[str, object]]:
    """One row a forecaster and kind: its mean scores so far; a sentence where there is none yet.

    `published` is what was published, whichever model made it; a baseline and `lstm` count by their own forecasts of
    all nights, published or not.
    """
    if data.scored.empty:
        return [{"scores": "none yet: the first forecast's session has not closed"}]
    scored = counted(data.scored)
    named = scored.assign(forecaster=scored["line"].replace({PUBLISHED_LINE: "published"}), mae=scored["error"].abs())
    grouped = named.groupby(["forecaster", "kind"], sort=True)
    means = grouped[["mae", "pinball", "inside_80", "inside_90"]].mean().assign(n=grouped.size()).reset_index()
    return [{str(key): value for key, value in row.items()} for row in means.to_dict("records")]


def finding_table(data: ReportData) -> list[dict[str, object]]:
    """One row an open or new finding, as on the page; a sentence where there is none."""
    rows: list[dict[str, object]] = [dict(row) for row in finding_rows(data)]
    return rows or [{"findings": "none: every bar passed every check"}]


def decision_table(data: ReportData) -> list[dict[str, object]]:
    """Tonight's decision between champion and challenger, one row; a sentence where there was none."""
    if data.decision is None:
        return [{"promotion": "no challenger was fitted on this night"}]
    names = ("winner", "champion", "challenger", "compared", "champion_pinball", "challenger_pinball")
    shown = {name: data.decision[name] for name in (*names, "origins", "first_origin", "last_origin", "reason")}
    return [{name: value if isinstance(value, int | float) else str(value or "") for name, value in shown.items()}]


def backtest_table(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row a horizon of a backtest's document, and one over all; as published too where that was replayed."""
    parts = {"model alone": document, "as published": document.get("as_published")}
    return [
        {"forecasts": name, "horizon": horizon, **{figure: row[figure] for figure in BACKTEST_FIGURES}}
        for name, part in parts.items()
        if part is not None
        for horizon, row in {"all": part["overall"], **part["horizons"]}.items()
    ]


def cleaned(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rows with every text cleaned and capped, for a table that a browser shows."""
    return [
        {name: plain_text(value) if isinstance(value, str) else value for name, value in row.items()} for row in rows
    ]
