"""Run every symbol's nights; retry those whose bar is missing; at the deadline continue with the stored bars."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from flows import clock
from flows.operations.events import LATE, emit, name_state
from flows.progress import show_nights
from flows.tasks import evaluate, ingest, predict, preprocess, run_of, score, score_only, train
from forecasting.errors import DataLateError, ForecastingError, RateLimitedError, UnavailableError
from forecasting.pipeline.night_run import NightSpec
from forecasting.pipeline.plan import is_done, newest_stored, nights_with_bars
from forecasting.pipeline.retry import (
    Attempt,
    after_refusal,
    clock_time,
    first_attempt,
    missing_bar_note,
    next_attempt,
    waited_note,
)
from forecasting.pipeline.run_row import mark_failed, mark_stopped, mark_waiting, note_run
from forecasting.settings import Settings

logger = logging.getLogger("forecasting.night")


@dataclass
class Outcomes:
    """The results of the nights.

    Attributes:
        done: Ids of the completed runs.
        failed: The symbols that failed, each with the error that stopped it, in the order in which that happened.
        without_bar: The note of every night that continued without its bar.
    """

    done: list[str] = field(default_factory=list)
    failed: list[tuple[str, ForecastingError]] = field(default_factory=list)
    without_bar: list[str] = field(default_factory=list)


def run_all(
    symbols: Sequence[Sequence[NightSpec]],
    settings: Settings,
    *,
    unattended: bool = False,
    switch_source: bool = False,
) -> Outcomes:
    """Run each symbol's nights, oldest first, on one fetch; one symbol's error or wait does not affect the others.

    Args:
        symbols: The nights of each symbol, oldest first; those already done are left out.
        settings: The settings in force.
        unattended: Retry a late or unresponsive source, then continue with the stored bars.
        switch_source: Allow bars of another source for a symbol that has some.
    """
    outcomes = Outcomes()
    own = {nights[0].symbol: settings.for_symbol(nights[0].symbol) for nights in symbols if nights}
    open_nights = [[night for night in nights if not is_done(run_of(night))] for nights in symbols]
    attempts = [
        first_attempt(nights, own[nights[0].symbol], now=clock.now(), unattended=unattended)
        for nights in open_nights
        if nights
    ]
    while attempts:
        attempt = min(attempts, key=lambda waiting: waiting.due)
        wait_for(attempt, attempts)
        attempts.remove(attempt)
        try:
            run_attempt(attempt, own[attempt.night.symbol], outcomes, switch_source=switch_source)
        except ForecastingError as error:
            later = next_attempt(attempt, error, now=clock.now())
            if later is not None:
                attempts = [*(after_refusal(other, later) for other in attempts), later]
                report_wait(later, error, own[later.night.symbol])
            else:
                stop_retrying(attempt, error, own[attempt.night.symbol], outcomes)
    return outcomes


def wait_for(attempt: Attempt, attempts: Sequence[Attempt]) -> None:
    """Wait until an attempt is due, in a state that names the reason; the other attempts are due later."""
    if attempt.due <= clock.now():
        return
    if attempt.unattended:
        name_state(LATE, " ".join(str(waiting.error) for waiting in attempts if waiting.error))
    clock.wait_until(attempt.due)
    name_state("Running", "", only=LATE)


def run_attempt(attempt: Attempt, settings: Settings, outcomes: Outcomes, *, switch_source: bool) -> None:
    """Fetch the bars and run the nights.

    Raises:
        ForecastingError: The bars did not come, or a night failed: the oldest one's error.
    """
    show_nights(attempt.nights)
    try:
        ingest(attempt.night, oldest=attempt.nights[0].session, switch_source=switch_source)
    except ForecastingError as error:
        mark_stopped(run_of(attempt.night), error)
        raise
    if attempt.failures and attempt.unattended:
        note_run(run_of(attempt.night), waited_note(attempt, settings, now=clock.now()))
    run_nights(attempt.nights, outcomes)


def run_nights(nights: Sequence[NightSpec], outcomes: Outcomes) -> None:
    """Run the nights whose bars are stored, oldest first.

    A night that fails does not hold up the later ones, tonight or on any night after.

    Raises:
        ForecastingError: A night failed: the oldest one's error.
    """
    failed: list[ForecastingError] = []
    for night in nights:
        try:
            run_night(night)
        except ForecastingError as error:
            logger.error("%s %s: %s", night.symbol, night.session, error)
            failed.append(error)
        else:
            outcomes.done.append(run_of(night).id)
    if failed:
        raise failed[0]


def run_night(night: NightSpec) -> None:
    """The four tasks after ingest. Scoring needs the store alone, so a failed fit or forecast does not stop it."""
    try:
        inputs = preprocess(night)
        challenger_id = train(night, inputs)
        predict(night, inputs, challenger_id)
    except Exception as error:
        mark_failed(run_of(night), error)
        score(night)
        raise
    try:
        evaluate(night, inputs)
    except Exception as error:  # as a page that cannot be written: forecasts and scores are stored
        mark_failed(run_of(night), error)
        raise


def report_wait(attempt: Attempt, error: ForecastingError, settings: Settings) -> None:
    """Record that a night waits: in its row, in the log, and once as an event when its bar is late."""
    if not attempt.unattended:
        return
    deadline = clock_time(attempt.deadline, settings)
    mark_waiting(run_of(attempt.night), f"{error} Retrying until {deadline}.")
    logger.warning("%s: next request at %s: %s", attempt.night.symbol, clock_time(attempt.due, settings), error)
    if isinstance(error, DataLateError) and attempt.failures == 1:
        emit("night.late", attempt.night, str(error))


def stop_retrying(attempt: Attempt, error: ForecastingError, settings: Settings, outcomes: Outcomes) -> None:
    """Retries are exhausted: an unattended run continues with the stored bars, any other fails with the error."""
    if not attempt.unattended or not isinstance(error, DataLateError | UnavailableError | RateLimitedError):
        outcomes.failed.append((attempt.night.symbol, error))
        logger.error("%s: %s", attempt.night.symbol, error)
        return
    try:
        note = continue_without_bar(attempt, error, settings, outcomes)
    except ForecastingError as failed:
        mark_waiting(run_of(attempt.night), str(failed), status="failed")
        outcomes.failed.append((attempt.night.symbol, failed))
        logger.error("%s: %s", attempt.night.symbol, failed)
        return
    outcomes.without_bar.append(note)
    logger.warning("%s: %s", attempt.night.symbol, note)
    is_complete = run_of(attempt.night).id in outcomes.done  # its bar was stored by another target or by `ingest`
    if not isinstance(error, DataLateError) and not is_complete:
        outcomes.failed.append((attempt.night.symbol, error))


def continue_without_bar(attempt: Attempt, error: ForecastingError, settings: Settings, outcomes: Outcomes) -> str:
    """Run the nights whose bars are stored and note the missing bar of the newest; the note.

    Raises:
        ForecastingError: There is no bar at all to continue with.
    """
    late = isinstance(error, DataLateError)
    newest = error.newest if isinstance(error, DataLateError) else newest_stored(attempt.night, settings)
    if newest is None:
        raise error
    kept = nights_with_bars(attempt.nights, newest, settings)
    note = missing_bar_note(attempt, error, newest, settings, now=clock.now())
    if late:
        ingest(kept[-1] if kept else attempt.night, newest=newest, oldest=kept[0].session if kept else None)
    mark_waiting(run_of(attempt.night), note, status="late" if late else "failed")
    run_nights(kept, outcomes)
    if not kept:
        score_only(attempt.night)
    return note
