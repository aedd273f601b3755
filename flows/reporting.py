"""How a run appears in Prefect (name, tags, states, artifacts, log lines), and what it sends."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any
from uuid import UUID

from prefect import Flow, get_client, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.states import Cancelled, Completed, Failed
from prefect.utilities.urls import url_for

from flows import clock
from flows.parameters import run_name, subject_of
from flows.server import tolerate_outage
from forecasting import errors
from forecasting.errors import DataLateError, ForecastingError, LockedError, combined, explained
from forecasting.night.night import Night, grouped
from forecasting.night.run import outcome_of
from forecasting.plain_text import plain_text, short_list
from forecasting.publish import messages
from forecasting.publish.pages import newest_nights, page_address, report_path
from forecasting.report.night_view import NightView
from forecasting.report.prefect import (
    Artifact,
    night_artifact,
    outcome_artifact,
    outcome_sentence,
    outcome_tags,
)
from forecasting.settings import Settings, read_settings

logger = logging.getLogger("forecasting.night")

_made = logging.getLogRecordFactory()

_digested: set[UUID] = set()
"""Flow runs of this process whose digest is sent, failures included."""


def flow_run_name() -> str:
    """The name of a flow run, like `nightly-SBUX-volume-2024-03-08`."""
    return run_name(str(runtime.flow_run.flow_name), runtime.flow_run.parameters, now=clock.now)


def step_run_name() -> str:
    """The name of a task run, like `train-SBUX-2024-03-08` or `train-AAPL+24-others-2024-03-08`."""
    nights = runtime.task_run.parameters["nights"]
    symbols = list(dict.fromkeys(night.symbol for night in nights))
    return f"{runtime.task_run.task_name}-{short_list(symbols)}-{nights[-1].session}"


def flow_run() -> FlowRun | None:
    """This flow run; None outside one."""
    context = FlowRunContext.get()
    return None if context is None else context.flow_run


def run_link() -> str:
    """The page of this flow run in Prefect's UI; empty outside one."""
    run = flow_run()
    address = url_for(run) if run is not None else None
    if address is None:
        return ""
    # That of the first version of the UI, which a browser would show (3.9.1)
    return address.replace("/runs/", "/v2/runs/", 1)


@contextmanager
def readable_errors() -> Iterator[None]:
    """Within the block INFO of the library is recorded, and an error is one paragraph.

    From here on every line of the library is cleaned and capped, whichever handler prints it.
    """
    logging.setLogRecordFactory(clean_record)
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler) is PrefectConsoleHandler:
            root.addHandler(LastingHandler(handler))
            root.removeHandler(handler)
    library = logging.getLogger("forecasting")
    level = library.level
    library.setLevel(logging.INFO)  # Prefect attaches its handler, but leaves the level unset
    # Added to stay: Prefect logs a flow's exception after the flow, and this block, has ended.
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_without_traceback)
    try:
        yield
    except ForecastingError:
        raise
    except Exception as error:
        raise explained(error) from error
    finally:
        library.setLevel(level)


class LastingHandler(PrefectConsoleHandler):
    """Prefect's handler, which goes on without its console where a killed worker no longer reads.

    Rich raises SystemExit there, from the log call: the thread that writes the line would end, and
    a night with its lock would wait for it for ever.
    """

    def __init__(self, handler: PrefectConsoleHandler) -> None:
        super().__init__(handler.stream, level=handler.level)
        self.console = handler.console
        self.setFormatter(handler.formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record; from a broken pipe on nothing is printed."""
        with suppress(SystemExit):
            super().emit(record)


def clean_record(name: str, *args: object, **named: object) -> logging.LogRecord:
    """A log record, the library's cleaned and capped, for every handler that Prefect adds.

    A traceback is cleaned line by line where it is logged.
    """
    record = _made(name, *args, **named)
    if name.split(".")[0] == "forecasting" and name != errors.logger.name:
        record.msg = plain_text(record.getMessage())
        record.args = ()
    return record


def _without_traceback(record: logging.LogRecord) -> bool:
    """Keep every record, of an exception with one paragraph in place of the traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, Exception):
        return True
    if not isinstance(error, ForecastingError):
        record.msg = f"{plain_text(record.getMessage())} {explained(error)}"
        record.args = ()
    record.exc_info = None
    record.exc_text = None
    return True


def trigger(*, is_span: bool) -> str:
    """What started this flow run: `schedule` of one of a deployment, else `catch-up` or `run`."""
    if runtime.deployment.id:
        return "schedule"
    return "catch-up" if is_span else "run"


def skipped(refusal: LockedError) -> State[Any]:
    """The state of a scheduled run that finds another at work, which takes its nights."""
    return Completed(name="Skipped", message=plain_text(refusal))


def last_state(
    nights: Sequence[Night], settings: Settings, *, done: str, nothing: Callable[[], str]
) -> State[Any]:
    """Failed, PartlyFailed, Stale or Completed; its message is `done`, of no night `nothing`.

    Its data, which the caller of the flow gets, are the ids of the nights that are done, None
    without any, or the errors as one. A run is Stale whose only errors are bars that may still
    come: of Prefect's type cancelled, which its list shows in grey, neither as done nor as failed.
    """
    ids, failed = outcome_of(nights, settings)
    if failed:
        error = combined(failed, of=len(settings.series))
        message = plain_text(error)
        if error.exit_code == DataLateError.exit_code:
            return Cancelled(name="Stale", data=error, message=f"{message} {done}".strip())
        name = "PartlyFailed" if len(failed) < len(settings.series) else "Failed"
        return Failed(name=name, message=message, data=error)
    if ids:
        return Completed(data=ids, message=plain_text(done))
    return Completed(message=nothing())


def send_failed_run(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Send the name of a run that failed and its error's message, unless its digest has it."""
    if flow_run.id in _digested:
        return
    reason = state.message or "It left no message."
    reason = reason.removeprefix("Flow run encountered an exception: ")
    messages.send(
        read_settings(),
        f"{' '.join(subject_of(flow_run.parameters))}: the run failed (night.failed)",
        f"The run {flow_run.name} failed. {reason}",
        link=run_link(),
    )


def publish_artifacts(nights: Sequence[Night]) -> None:
    """Add the artifacts of nights to the flow run, as `add_artifact`."""
    for some in grouped(nights, "symbol"):
        shown = []
        for night in some:
            if isinstance(night.report, NightView):
                page = report_path(night.settings, *night.key)
                shown.append((night.report, page_address(night.settings, page.name) or page))
        if shown:
            add_artifact(night_artifact(shown), f"the artifact of {some[0].symbol}")


def publish_outcomes(settings: Settings, nights: Sequence[Night]) -> str:
    """A sentence for the last state; the run's digest is sent, its page of symbols and tags added.

    Empty where that failed. A run without nights has neither page nor tags: what it finds is of
    earlier runs.
    """
    run = flow_run()
    # Once, for message and page
    newest = cache(partial(newest_nights, settings, nights, now=clock.now))
    is_made = messages.send_digest(settings, nights, newest, now=clock.now, link=run_link())
    if run is None or not nights:
        return ""
    if is_made:
        _digested.add(run.id)
    try:
        add_artifact(outcome_artifact(newest()), "the page of outcomes")
        add_tags(outcome_tags(newest()))
        return outcome_sentence(newest())
    except Exception as error:  # as of the digest, no night has failed by it
        logger.warning("the page of the run was not made: %s", explained(error))
        return ""


def add_artifact(artifact: Artifact, about: str) -> None:
    """Add an artifact to the flow run, if this is one; in an outage warn `about` it instead."""
    if flow_run() is not None:
        with tolerate_outage(about):
            create_markdown_artifact(
                key=artifact.key, markdown=artifact.body, description=artifact.description
            )


def add_tags(tags: Sequence[str]) -> None:
    """Add tags to the flow run, before those that it has, as `add_artifact`."""
    run = flow_run()
    if run is None:
        return
    with tolerate_outage(f"the tags {', '.join(tags)}"), get_client(sync_client=True) as client:
        client.update_flow_run(
            run.id, tags=list(dict.fromkeys([*tags, *client.read_flow_run(run.id).tags]))
        )
