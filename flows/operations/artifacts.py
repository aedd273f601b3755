"""What Prefect's UI shows of a run: its artifacts, and the tags by which it can be found."""

import logging
from collections.abc import Sequence

from prefect import get_client
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.context import FlowRunContext

from flows import clock
from flows.operations.events import run_link
from flows.operations.server import tolerate_outage
from forecasting.pipeline import notify
from forecasting.pipeline.folders import report_path
from forecasting.pipeline.night import Night
from forecasting.pipeline.outcomes import newest_nights, outcome_page
from forecasting.pipeline.run import outcome_of
from forecasting.pipeline.unexpected import explained
from forecasting.report.artifacts import Artifact, night_artifact
from forecasting.report.outcome_page import RunTimes
from forecasting.report.run_outcome import outcome_sentence, outcome_tags
from forecasting.settings import Settings

logger = logging.getLogger("forecasting.night")


def publish_artifacts(nights: Sequence[Night]) -> None:
    """Add the artifacts of nights to the flow run; no-op and skipped as `add_artifacts`."""
    for night in nights:
        if night.report is not None:
            about = f"the artifact of {night.symbol} {night.target}, origin {night.report.origin}"
            page = report_path(night.settings, night.symbol, night.target)
            add_artifacts([night_artifact(night.report, page)], about)


def publish_outcomes(settings: Settings, nights: Sequence[Night]) -> str:
    """Send what is notable about the nights done, add the page of all symbols, and tags; a sentence for the last state.

    Outside a flow run there are messages alone; where one of the four fails, a warning in place of it and of those
    after it.
    """
    context, now = FlowRunContext.get(), clock.now()
    try:
        notify.send_notable(settings, outcome_of(nights).done, link=run_link())
        if context is None or context.flow_run is None:
            return ""
        run, newest = context.flow_run, newest_nights(settings, nights)
        times = RunTimes(run.expected_start_time or now, run.state.timestamp if run.state else now, now)
        add_artifacts([outcome_page(settings, newest, times)], "the page of outcomes")
        add_tags(outcome_tags(newest))
        return outcome_sentence(newest)
    except Exception as error:  # the run may be about to end with errors of its nights, which this would hide
        logger.warning("the messages or the page of the run were not made: %s", explained(error, now=clock.now))
        return ""


def add_artifacts(artifacts: Sequence[Artifact], about: str) -> None:
    """Add artifacts to the flow run; no-op outside one, skipped with a warning when the server is down.

    Args:
        artifacts: A text becomes a Markdown artifact, rows become a table.
        about: What they are, for the warning.
    """
    if FlowRunContext.get() is None:
        return
    with tolerate_outage(about):
        for one in artifacts:
            if isinstance(one.body, str):
                create_markdown_artifact(key=one.key, markdown=one.body, description=one.description)
            else:
                create_table_artifact(key=one.key, table=one.body, description=one.description)


def add_tags(tags: Sequence[str]) -> None:
    """Add tags to the flow run, before those that it has; no-op and skipped as `add_artifacts`."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    with tolerate_outage(f"the tags {', '.join(tags)}"), get_client(sync_client=True) as client:
        present = client.read_flow_run(context.flow_run.id).tags
        client.update_flow_run(context.flow_run.id, tags=list(dict.fromkeys([*tags, *present])))
