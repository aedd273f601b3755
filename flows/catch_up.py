"""Work off a span of missed sessions in one run, oldest first, from bars as known then; marked late or replay."""

from datetime import date
from typing import Annotated, Any

from prefect import flow
from prefect.states import Completed
from pydantic import Field

from flows.events import tell_failed
from flows.night import Night
from flows.nightly import check_session, flow_run_name, narrowed, newest_session
from flows.prefect_logs import readable_errors
from flows.progress import watched_nights
from flows.work import work_off
from forecasting.errors import UsageError
from forecasting.sessions import between, is_session, next_sessions
from forecasting.settings import Settings, Target, read_settings
from forecasting.store import database, reads


@flow(name="catch-up", flow_run_name=flow_run_name, on_failure=[tell_failed])
def catch_up(
    first: date,
    last: date,
    symbols: list[str] | None = None,
    target: Target | None = None,
    source: str | None = None,
    events: str | None = None,
    refit_every: Annotated[int, Field(ge=1)] = 5,
) -> Any:
    """Forecast from every session of a span that has no finished run yet, and score what has closed.

    Args:
        first: Oldest session.
        last: Newest session.
        symbols: As for nightly.
        target: As for nightly.
        source: As for nightly.
        events: As for nightly.
        refit_every: Sessions between fits; in between the champion speaks alone.

    Returns:
        The run ids, oldest night first; a state named Skipped when there was nothing to do.
    """
    given = {"symbols": symbols, "target": target, "source": source, "events": events}
    settings = narrowed(read_settings(), given)
    with readable_errors(), database.night_lock(settings.url, "night"), database.kept_open(settings.url):
        each = [settings.for_symbol(symbol) for symbol in settings.symbols]
        nights = [nights_of_span(own.symbols[0], own, first, last, refit_every=refit_every) for own in each]
        worked = work_off(nights, settings)
    if worked.failed:
        raise worked.failed[0]
    return worked.done or Completed(name="Skipped", message=f"Every session from {first} to {last} was already done.")


def nights_of_span(symbol: str, settings: Settings, first: date, last: date, *, refit_every: int) -> list[Night]:
    """One night a session, every `refit_every`-th with a fit; counted from `first`, so that a second start agrees."""
    return [
        Night(
            symbol,
            session,
            settings.target,
            settings.source,
            settings.events,
            mode="auto" if position % refit_every == 0 else "skip",
            trigger="catch-up",
        )
        for position, session in enumerate(between(first, last, settings.exchange))
    ]


def start_catch_up(*, first: date | None, last: date | None, refit_every: int) -> str:
    """Run the flow in this process, after what can be refused has been refused; a sentence that says what it did.

    Raises:
        ForecastingError: As one paragraph; nothing was written then.
    """
    settings = read_settings()
    database.check_ready(settings.url)
    each = [settings.for_symbol(symbol) for symbol in settings.symbols]
    last = last or min(newest_session(own.symbols[0], own) for own in each)
    first = first or oldest_missed(each, last)
    for day in (first, last):
        if not any(is_session(day, own.exchange) for own in each):
            check_session(day, settings.exchange)
    if first > last:
        raise UsageError(f"--from is a session before --to or the same one; found {first} after {last}.")
    with watched_nights():
        done: list[str] = catch_up(first, last, refit_every=refit_every) or []
    return f"{', '.join(settings.symbols)}: {len(done)} sessions worked off between {first} and {last}."


def oldest_missed(each: list[Settings], last: date) -> date:
    """The first session after the newest finished night of the symbol that is furthest behind, or `last` itself.

    Args:
        each: The settings of each symbol, as `Settings.for_symbol` makes them.
        last: Newest session.
    """
    with database.reading(each[0].url) as connection:
        finished = [(reads.newest_finished(connection, own.symbols[0], own.target), own.exchange) for own in each]
    return min([last, *(next_sessions(session, 1, exchange)[0] for session, exchange in finished if session)])
