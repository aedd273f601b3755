"""A night's artifacts in Prefect's UI: tables of forecasts, scores, findings and the decision, and a page."""

import re
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import FlowRunContext

from flows.operations.server import tolerate_outage
from forecasting.report.data import ReportData
from forecasting.report.facts import finding_rows
from forecasting.report.fan_png import fan_markdown
from forecasting.report.page import forecast_markdown


def publish_artifacts(data: ReportData, page: Path) -> None:
    """Add the night's artifacts to the flow run; no-op outside one, skipped with a warning when the server is down."""
    if FlowRunContext.get() is None:
        return
    with tolerate_outage(f"the artifacts of {data.symbol} {data.target}, origin {data.origin}"):
        create_artifacts(data, page)


def create_artifacts(data: ReportData, page: Path) -> None:
    """Create four tables and a page on the current flow run."""
    about = f"{data.symbol} {data.target}, origin {data.origin}"
    create_table_artifact(
        key=artifact_key("forecasts", data),
        table=forecast_table(data),
        description=f"Forecasts of {about}",
    )
    create_table_artifact(key=artifact_key("scores", data), table=score_table(data), description=f"Scores of {about}")
    create_table_artifact(
        key=artifact_key("findings", data),
        table=finding_table(data),
        description=f"Findings about the bars of {about}",
    )
    create_table_artifact(
        key=artifact_key("promotion", data), table=decision_table(data), description=f"Promotion after {about}"
    )
    create_markdown_artifact(
        key=artifact_key("night", data),
        markdown=f"{forecast_markdown(data)}\n{fan_markdown(data)}\n\nReport page: `{page}`",
        description=about,
    )


def artifact_key(what: str, data: ReportData) -> str:
    """An artifact's key, `forecasts-sbux-volume`: Prefect allows lower case, digits and dashes."""
    return key_of(what, data.symbol, data.target)


def key_of(what: str, symbol: str, target: str) -> str:
    """The key of anything about a symbol and target."""
    return re.sub(r"[^a-z0-9]+", "-", f"{what} {symbol} {target}".lower()).strip("-")


def forecast_table(data: ReportData) -> list[dict[str, object]]:
    """One row a session: every quantile, the last value, status and reason."""
    columns = [
        "target_session",
        "horizon",
        "q05",
        "q10",
        "q25",
        "q50",
        "q75",
        "q90",
        "q95",
        "last_value",
        "status",
        "reason",
        "outside",
    ]
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
