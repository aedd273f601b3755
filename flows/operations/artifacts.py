"""A night's artifacts in Prefect's UI: tables of forecasts, scores, findings and the decision, and a page."""

import logging
import re
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import FlowRunContext

from flows import clock
from flows.operations.server import tolerate_outage
from forecasting.pipeline.night_run import NightRun
from forecasting.pipeline.outcomes import outcome_rows
from forecasting.pipeline.publish import PublishedPage
from forecasting.pipeline.unexpected import explained
from forecasting.report.data import ReportData
from forecasting.report.fan_png import fan_markdown
from forecasting.report.page import forecast_markdown
from forecasting.report.tables import cleaned, decision_table, finding_table, forecast_table, score_table
from forecasting.settings import Settings

logger = logging.getLogger("forecasting.night")


def publish_artifacts(run: NightRun, page: PublishedPage) -> None:
    """Add the night's artifacts to the flow run; no-op outside one, skipped with a warning when the server is down."""
    if FlowRunContext.get() is None:
        return
    with tolerate_outage(f"the artifacts of {run.spec.symbol} {run.spec.target}, origin {page.data.origin}"):
        create_artifacts(page.data, page.path)


def publish_outcomes(settings: Settings) -> None:
    """Add the table with a line a symbol to the flow run; no-op outside one, a warning where that fails."""
    if FlowRunContext.get() is None:
        return
    about = f"What came of {len(settings.symbols)} symbols, {settings.target}"
    try:
        rows = cleaned(outcome_rows(settings))
        create_table_artifact(key=key_of("outcomes", "", settings.target), table=rows, description=about)
    except Exception as error:  # the run may be about to end with errors of its nights, which this would hide
        logger.warning("the table of outcomes was not added: %s", explained(error, now=clock.now))


def create_artifacts(data: ReportData, page: Path) -> None:
    """Create four tables and a page on the current flow run."""
    subject, about = (data.symbol, data.target), f"{data.symbol} {data.target}, origin {data.origin}"
    tables = {
        "forecasts": (forecast_table, f"Forecasts of {about}"),
        "scores": (score_table, f"Scores of {about}"),
        "findings": (finding_table, f"Findings about the bars of {about}"),
        "promotion": (decision_table, f"Promotion after {about}"),
    }
    for what, (rows, description) in tables.items():
        create_table_artifact(key=key_of(what, *subject), table=cleaned(rows(data)), description=description)
    create_markdown_artifact(
        key=key_of("night", *subject),
        markdown=f"{forecast_markdown(data)}\n{fan_markdown(data)}\n\nReport page: `{page}`",
        description=about,
    )


def key_of(what: str, symbol: str, target: str) -> str:
    """The key of an artifact, `forecasts-sbux-volume`: Prefect allows lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", f"{what} {symbol} {target}".lower()).strip("-")
