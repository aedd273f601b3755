"""What the commands start: checks that need no flow, then the nights, through Prefect where a server is configured."""

import asyncio
import sys
from datetime import date

from flows import clock
from flows.progress import watched_nights
from flows.terminal.echo import echo
from forecasting.errors import SymbolsFailedError
from forecasting.pipeline import plan
from forecasting.pipeline.health import unnamed_new_symbols
from forecasting.pipeline.outcomes import completed_sentence, done_sentence, next_night_sentence
from forecasting.settings import read_settings
from forecasting.store import database, migrate
from forecasting.vocabulary import Mode


def start_night(*, as_of: date | None, mode: Mode, switch_source: bool) -> None:
    """Run the flow in this process, after the checks that need no flow.

    Raises:
        ForecastingError: A check or the flow failed; nothing is written when a check fails.
    """
    settings = read_settings()
    plan.check_nights(settings, as_of=as_of, mode=mode, now=clock.now)
    sys.stderr.write(unnamed_new_symbols(settings))
    from flows.nightly import nightly  # takes seconds; a mistake in an option is reported before
    from flows.operations.server import run_server

    with watched_nights(), run_server():
        nightly(as_of=as_of, mode=mode, switch_source=switch_source)


def start_catch_up(*, first: date | None, last: date | None, refit_every: int) -> str:
    """Run the flow in this process, after the checks that need no flow; a sentence about the result.

    Raises:
        ForecastingError: A check or the flow failed; nothing is written when a check fails.
    """
    settings = read_settings()
    first, last = plan.checked_span(settings, first, last, now=clock.now)

    from flows.catch_up import catch_up
    from flows.operations.server import run_server

    try:
        with watched_nights(), run_server():
            done: list[str] = catch_up(first, last, refit_every=refit_every) or []
    except SymbolsFailedError:
        echo(done_sentence(settings, first, last))
        raise
    return completed_sentence(settings, done, first, last)


def start_serving() -> None:
    """Serve the nightly deployment on its schedule; runs missed while this was down start first."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.schedules import Cron
    from prefect.server.schemas.schedules import CronSchedule

    from flows.nightly import nightly
    from flows.operations.server import ensure_server

    settings = read_settings()
    migrate.check_ready(settings.url)
    with database.serve_lock(settings.data_dir), ensure_server():
        (due,) = asyncio.run(CronSchedule(cron=settings.cron, timezone=settings.timezone).get_dates(1, clock.now()))
        echo(next_night_sentence(settings, due, now=clock.now()))
        every, patient = Cron(settings.cron, timezone=settings.timezone, slug="nightly"), {"patient": True}
        one = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
        nightly.serve(
            "nightly",
            schedule=every,
            parameters=patient,
            tags=["forecasting"],
            pause_on_shutdown=False,
            global_limit=one,
        )
