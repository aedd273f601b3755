"""Work off nights: every symbol's first, then wait for those whose bars are not there, and at a stated hour go on."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from prefect import runtime

from flows import clock
from flows.events import LATE, name_state, tell
from flows.night import Night
from flows.patience import Turn, after_refusal, clock_time, first_turn, next_turn
from flows.progress import show_nights
from flows.steps.run_row import mark_waiting, note_run
from flows.tasks import evaluate, ingest, predict, preprocess, score, stand_still, train
from forecasting.errors import DataLateError, ForecastingError, RateLimitedError, UnavailableError
from forecasting.settings import Settings
from forecasting.store import database, reads, writes

logger = logging.getLogger("forecasting.night")


@dataclass
class Worked:
    """What became of the nights.

    Attributes:
        done: Ids of the runs that were worked off to their end.
        failed: What stopped a symbol, in the order in which it happened.
        without: Of every night that went on without its bar, what a reader must know.
    """

    done: list[str] = field(default_factory=list)
    failed: list[ForecastingError] = field(default_factory=list)
    without: list[str] = field(default_factory=list)


def work_off(
    symbols: Sequence[Sequence[Night]], settings: Settings, *, patient: bool = False, switch_source: bool = False
) -> Worked:
    """Work off each symbol's nights, oldest first, on one fetch; one symbol's trouble or wait is not the next one's.

    Args:
        symbols: The nights of each symbol, oldest first; those done before are left out.
        settings: In force.
        patient: Ask a late or deaf source again, then go on with the bars there are; for unattended runs.
        switch_source: Allow bars of another source for a symbol that has some.
    """
    worked = Worked()
    own = {nights[0].symbol: settings.for_symbol(nights[0].symbol) for nights in symbols if nights}
    asked = [[night for night in nights if not is_done(night, own[night.symbol])] for nights in symbols]
    turns = [first_turn(nights, own[nights[0].symbol], now=clock.now(), patient=patient) for nights in asked if nights]
    while turns:
        turn = min(turns, key=lambda turn: turn.due)
        wait_for(turn, turns)
        turns.remove(turn)
        try:
            take(turn, own[turn.night.symbol], worked, switch_source=switch_source)
        except ForecastingError as trouble:
            later = next_turn(turn, trouble, now=clock.now())
            if later is not None:
                turns = [*(after_refusal(other, later) for other in turns), later]
                tell_wait(later, trouble, own[later.night.symbol])
            else:
                give_up(turn, trouble, own[turn.night.symbol], worked)
    return worked


def wait_for(turn: Turn, turns: Sequence[Turn]) -> None:
    """Wait until a turn is due, in a state that says for what; the other turns are due later."""
    if turn.due <= clock.now():
        return
    if turn.patient:
        name_state(LATE, " ".join(str(waiting.trouble) for waiting in turns if waiting.trouble))
    clock.wait_until(turn.due)
    name_state("Running", "", only=LATE)


def take(turn: Turn, settings: Settings, worked: Worked, *, switch_source: bool) -> None:
    """Ask for the bars and work off the nights.

    Raises:
        ForecastingError: The bars did not come, or a night failed: the oldest one's error.
    """
    show_nights(turn.nights)
    ingest(turn.night, switch_source=switch_source)
    if turn.failures and turn.patient:
        began, _, _ = clock_time(turn.began, settings).partition(" ")
        waited = f"from {began} to {clock_time(clock.now(), settings)}, asked {turn.failures + 1} times"
        note_run(turn.night, settings, f"Waited for its bar {waited}.")
    work_through(turn.nights, settings, worked)


def work_through(nights: Sequence[Night], settings: Settings, worked: Worked) -> None:
    """The nights whose bars are there, oldest first.

    One that fails for good does not hold up the later ones, tonight or on any night after: they are worked off first.

    Raises:
        ForecastingError: A night failed: the oldest one's error.
    """
    failed: list[ForecastingError] = []
    for night in nights:
        try:
            one_night(night, settings)
        except ForecastingError as error:
            logger.error("%s %s: %s", night.symbol, night.session, error)
            failed.append(error)
        else:
            worked.done.append(night.run_id(settings))
    if failed:
        raise failed[0]


def tell_wait(turn: Turn, trouble: ForecastingError, settings: Settings) -> None:
    """Say that a night waits: in its row, in the log, and once to people when it is for a late bar."""
    if not turn.patient:
        return
    until = clock_time(turn.until, settings)
    mark_waiting(turn.night, settings, f"{trouble} Asked again until {until}.", flow_run_id=runtime.flow_run.id)
    logger.warning("%s: asked again at %s: %s", turn.night.symbol, clock_time(turn.due, settings), trouble)
    if isinstance(trouble, DataLateError) and turn.failures == 1:
        tell("night.late", turn.night, str(trouble))


def give_up(turn: Turn, trouble: ForecastingError, settings: Settings, worked: Worked) -> None:
    """Asking has ended: a patient night goes on with the bars there are, for any other the trouble is the end of it."""
    waitable = isinstance(trouble, DataLateError | UnavailableError | RateLimitedError)
    if not turn.patient or not waitable:
        worked.failed.append(trouble)
        logger.error("%s: %s", turn.night.symbol, trouble)
        return
    try:
        note = go_on(turn, trouble, settings, worked)
    except ForecastingError as error:
        mark_waiting(turn.night, settings, str(error), flow_run_id=runtime.flow_run.id, status="failed")
        worked.failed.append(error)
        logger.error("%s: %s", turn.night.symbol, error)
        return
    worked.without.append(note)
    logger.warning("%s: %s", turn.night.symbol, note)
    whole = turn.night.run_id(settings) in worked.done  # its bar was stored before, by another target or a bare ingest
    if not isinstance(trouble, DataLateError) and not whole:
        worked.failed.append(trouble)


def go_on(turn: Turn, trouble: ForecastingError, settings: Settings, worked: Worked) -> str:
    """Work off the nights whose bars are there and say of the newest that its bar was not; what was said.

    Raises:
        ForecastingError: There is no bar at all to go on with.
    """
    newest = trouble.newest if isinstance(trouble, DataLateError) else newest_stored(turn.night, settings)
    if newest is None:
        raise trouble
    kept = nights_with_bars(turn.nights, newest, settings)
    note = without_words(turn, trouble, newest, settings)
    status = "late" if isinstance(trouble, DataLateError) else "failed"
    if isinstance(trouble, DataLateError):
        ingest(kept[-1] if kept else turn.night, newest=newest)
    mark_waiting(turn.night, settings, note, flow_run_id=runtime.flow_run.id, status=status)
    work_through(kept, settings, worked)
    if not kept:
        stand_still(turn.night)
    return note


def nights_with_bars(nights: Sequence[Night], newest: date, settings: Settings) -> list[Night]:
    """Those that have their bar, oldest first; where none has, the night of `newest` unless it was done before."""
    kept = [night for night in nights if night.session <= newest]
    if kept:
        return kept
    with database.reading(settings.url) as connection:
        finished = reads.newest_finished(connection, nights[-1].symbol, nights[-1].target)
    return [] if finished is not None and newest <= finished else [replace(nights[-1], session=newest)]


def newest_stored(night: Night, settings: Settings) -> date | None:
    """The newest session up to the night's whose bar is stored; None when there is none."""
    with database.reading(settings.url) as connection:
        bars = reads.bars(connection, night.symbol, last=night.session)
    return bars.index[-1].date() if len(bars) else None


def without_words(turn: Turn, trouble: ForecastingError, newest: date, settings: Settings) -> str:
    """What a reader of a night must know that went on without an answer or its bar."""
    hour = clock_time(clock.now(), settings)
    if isinstance(trouble, DataLateError):
        what = f"The bar of {turn.night.session} had not come by {hour}"
    else:
        what = f"{trouble} Given up at {hour}"
    return f"{what}; the night went on with the bars up to {newest}."


def is_done(night: Night, settings: Settings) -> bool:
    """Whether this very night was worked off to its end before."""
    with database.reading(settings.url) as connection:
        row = reads.run(connection, night.run_id(settings))
    return row is not None and row["status"] == "done"


def one_night(night: Night, settings: Settings) -> None:
    """The four tasks after ingest. Scoring needs the store alone, so a failed fit or forecast does not stop it."""
    try:
        windows_path = preprocess(night)
        challenger_id = train(night, windows_path)
        predict(night, windows_path, challenger_id)
    except Exception as error:
        with database.transaction(settings.url) as connection:
            writes.update_run(connection, night.run_id(settings), {"status": "failed", "error": str(error)})
        score(night)
        raise
    evaluate(night)
