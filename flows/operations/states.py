"""The states of a run: waiting, with the reasons and hours, and the last one, which says what came of it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import clock
from flows.operations.events import LATE, name_state, run_link
from forecasting.pipeline import notify
from forecasting.pipeline.night import Night
from forecasting.pipeline.notify import Alert
from forecasting.pipeline.publish import update_index
from forecasting.pipeline.run import outcome_of
from forecasting.pipeline.symbols import combined
from forecasting.plain_text import plain_text
from forecasting.settings import Settings


def wait(settings: Settings, until: datetime, why: str, late: Sequence[Night]) -> None:
    """Wait for the next round of requests, in a state that names the reasons and the hours."""
    update_index(settings, now=clock.now)
    alerts = [Alert("night.late", night.symbol, night.target, night.session, str(night.error)) for night in late]
    notify.send(settings, alerts, link=run_link())
    name_state(LATE, why)
    clock.wait_until(until)
    name_state("Running", "", only=LATE)


def last_state(nights: Sequence[Night], settings: Settings, *, done: str, nothing: Callable[[], str]) -> State[Any]:
    """Failed, PartlyFailed where some symbols did not, Completed, WithoutBar, or Skipped where nothing was to do.

    The caller of the flow gets the ids of the nights that are done, None without any, or the errors as one.

    Args:
        nights: As they ended.
        settings: Of the run.
        done: The message of a run in which nothing failed.
        nothing: The message where nothing was to do.
    """
    outcome, symbols = outcome_of(nights), len(settings.symbols)
    if outcome.failed:
        name = "PartlyFailed" if len(outcome.failed) < symbols else "Failed"
        error = combined(outcome.failed, of=symbols)
        return Failed(name=name, message=plain_text(error), data=error)
    if outcome.done:
        return Completed(data=outcome.done, message=plain_text(done))
    if outcome.without_bar:
        return Completed(name="WithoutBar", message=plain_text(" ".join(outcome.without_bar)))
    return Completed(name="Skipped", message=nothing())
