"""The night as plain tables and one JSON document: for Prefect's artifacts and the command line."""

from __future__ import annotations

from typing import Any

from forecasting.report import wording
from forecasting.report.data import ReportData
from forecasting.report.facts import finding_rows
from forecasting.vocabulary import QUANTILE_COLUMNS


def night_document(data: ReportData) -> dict[str, Any]:
    """The night as a JSON object: published model, origin, and the forecasts in the target's own unit."""
    columns = ["target_session", "horizon", *QUANTILE_COLUMNS, "kind", "status", "reason"]
    columns += ["outside", "issued_at", "data_as_of"]
    return {
        "symbol": data.symbol,
        "target": data.target,
        "series": data.fetch["title"],
        "origin_session": data.origin,
        "last_value": data.last_value,
        "model_id": data.model["id"],
        "model": data.model["name"],
        "run_id": data.run["id"],
        "mode": data.run["mode"],
        "notices": {notice.title: notice.text for notice in wording.notices(data)},
        "forecasts": data.rows[columns].to_dict("records"),
    }


def forecast_table(data: ReportData) -> list[dict[str, object]]:
    """One row a session: every quantile, the last value, status and reason."""
    columns = ["target_session", "horizon", *QUANTILE_COLUMNS, "last_value", "status", "reason", "outside"]
    return [
        {str(name): value if isinstance(value, int | float) else str(value) for name, value in row.items()}
        for row in data.rows[columns].to_dict("records")
    ]


def score_table(data: ReportData) -> list[dict[str, object]]:
    """One row a model: its mean scores so far; a sentence where there is none yet."""
    if data.scored.empty:
        return [{"scores": "none yet: the first forecast's session has not closed"}]
    scored = data.scored.drop_duplicates(["name", "role", "kind", "origin_session", "horizon"], keep="last")
    grouped = scored.assign(mae=scored["error"].abs()).groupby(["role", "name", "kind"], sort=True)
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
    names = ("winner", "champion", "challenger", "best_baseline", "champion_pinball", "challenger_pinball")
    shown = {name: data.decision[name] for name in (*names, "baseline_pinball", "p_value", "origins", "reason")}
    return [{name: value if isinstance(value, int | float) else str(value or "") for name, value in shown.items()}]
