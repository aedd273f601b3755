"""What a night shows in Prefect's UI: tables of forecasts and scores and a page, under keys that stay the same."""

import re
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import FlowRunContext

from flows.fan_chart import fan_markdown
from flows.server import unless_away
from forecasting.report.facts import finding_rows
from forecasting.report.night import Night
from forecasting.report.page import forecast_markdown


def publish_artifacts(night: Night, page: Path) -> None:
    """Add tonight's artifacts to the flow run; does nothing outside one, and a server that is away misses them."""
    if FlowRunContext.get() is None:
        return
    with unless_away(f"the artifacts of {night.symbol} {night.target}, origin {night.origin}"):
        create_artifacts(night, page)


def create_artifacts(night: Night, page: Path) -> None:
    """Four tables and a page, on the flow run that this is in."""
    about = f"{night.symbol} {night.target}, origin {night.origin}"
    create_table_artifact(
        key=artifact_key("forecasts", night),
        table=forecast_table(night),
        description=f"Forecasts of {about}",
    )
    create_table_artifact(key=artifact_key("scores", night), table=score_table(night), description=f"Scores of {about}")
    create_table_artifact(
        key=artifact_key("findings", night),
        table=finding_table(night),
        description=f"Doubts about the bars of {about}",
    )
    create_table_artifact(
        key=artifact_key("promotion", night), table=decision_table(night), description=f"Who speaks after {about}"
    )
    create_markdown_artifact(
        key=artifact_key("night", night),
        markdown=f"{forecast_markdown(night)}\n{fan_markdown(night)}\n\nReport page: `{page}`",
        description=about,
    )


def artifact_key(what: str, night: Night) -> str:
    """Prefect lets lower case, digits and dashes into a key: `forecasts-sbux-volume`."""
    return key_of(what, night.symbol, night.target)


def key_of(what: str, symbol: str, target: str) -> str:
    """The key of anything about a symbol and target."""
    return re.sub(r"[^a-z0-9]+", "-", f"{what} {symbol} {target}".lower()).strip("-")


def forecast_table(night: Night) -> list[dict[str, object]]:
    """One row a session: every quantile, who spoke and the last value beside it."""
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
        for row in night.rows[columns].to_dict("records")
    ]


def score_table(night: Night) -> list[dict[str, object]]:
    """One row a model: what its scored forecasts came to so far; a sentence where there is none yet."""
    if night.scored.empty:
        return [{"scores": "none yet: the first forecast's session has not closed"}]
    scored = night.scored.drop_duplicates(["name", "role", "kind", "origin_session", "horizon"], keep="last")
    grouped = scored.assign(mae=scored["error"].abs()).groupby(["role", "name", "kind"], sort=True)
    means = grouped[["mae", "pinball", "inside_80", "inside_90"]].mean().assign(n=grouped.size()).reset_index()
    return [{str(key): value for key, value in row.items()} for row in means.to_dict("records")]


def finding_table(night: Night) -> list[dict[str, object]]:
    """One row a finding that stands or is new tonight, as on the page; a sentence where there is none."""
    rows: list[dict[str, object]] = [dict(row) for row in finding_rows(night)]
    return rows or [{"findings": "none: every bar passed every check"}]


def decision_table(night: Night) -> list[dict[str, object]]:
    """Tonight's decision between champion and challenger, one row; a sentence where there was none."""
    if night.decision is None:
        return [{"promotion": "no challenger was fitted on this night"}]
    names = ("winner", "champion", "challenger", "best_baseline", "champion_pinball", "challenger_pinball")
    shown = {name: night.decision[name] for name in (*names, "baseline_pinball", "p_value", "origins", "reason")}
    return [{name: value if isinstance(value, int | float) else str(value or "") for name, value in shown.items()}]
