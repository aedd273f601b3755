"""The last state of a run: a name for the list of runs, and a message that says what came of it."""

from collections.abc import Callable, Sequence
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from forecasting.errors import ForecastingError
from forecasting.pipeline.each_symbol import combined
from forecasting.pipeline.run_outcomes import Outcomes
from forecasting.plain_text import plain_text


def last_state(
    outcomes: Outcomes,
    failed: Sequence[tuple[str, ForecastingError]],
    *,
    of: int,
    done: str,
    nothing: Callable[[], str],
) -> State[Any]:
    """Failed, PartlyFailed where some symbols did not, Completed, WithoutBar, or Skipped where nothing was to do.

    The caller of the flow gets the ids of the runs, oldest night first, None without any, or the errors as one.

    Args:
        outcomes: Of the nights.
        failed: The symbols that failed before there was a night.
        of: Symbols of the run.
        done: The message of a run in which nothing failed.
        nothing: The message where nothing was to do.
    """
    if stopped := [*failed, *outcomes.failed]:
        error, name = combined(stopped, of=of), "PartlyFailed" if len(dict(stopped)) < of else "Failed"
        return Failed(name=name, message=plain_text(error), data=error)
    if outcomes.done:
        return Completed(data=outcomes.done, message=plain_text(done))
    if outcomes.without_bar:
        return Completed(name="WithoutBar", message=plain_text(" ".join(outcomes.without_bar)))
    return Completed(name="Skipped", message=nothing())
