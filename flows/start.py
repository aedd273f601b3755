"""What the commands start: checks that need no flow, then the nights, through Prefect where a server is configured."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from flows import clock
from flows.console import echo
from flows.progress import show_nights, show_step, watched_nights
from forecasting.errors import SymbolsFailedError
from forecasting.pipeline import plan
from forecasting.pipeline.folders import SERVED
from forecasting.pipeline.health import checked, night_checks, unnamed_new_symbols
from forecasting.pipeline.night import Night
from forecasting.pipeline.outcomes import completed_sentence, done_sentence, next_night_sentence
from forecasting.pipeline.run import concluded, ledger, run_nights, send_failed, workers_of
from forecasting.pipeline.unexpected import explained
from forecasting.settings import Settings, read_settings
from forecasting.store import lock, migrate
from forecasting.vocabulary import Mode


def start_night(*, as_of: date | None, mode: Mode, switch_source: bool) -> None:
    """Run the nights in this process, after the checks that come before anything starts.

    Raises:
        ForecastingError: A check or a night failed; nothing is written when a check fails.
    """
    settings = read_settings()
    plan.check_nights(settings, as_of=as_of, mode=mode, now=clock.now)
    sys.stderr.write(unnamed_new_symbols(settings))
    if has_server(settings):
        from flows.nightly import nightly  # takes seconds; a mistake in an option is reported before
        from flows.server import reached_server

        with watched_nights(), reached_server():
            nightly(as_of=as_of, mode=mode, switch_source=switch_source)
        return
    with nights_here(settings):
        planned = plan.planned_nights(settings, as_of=as_of, mode=mode, now=clock.now)
        nights = run_here(planned, settings, switch_source=switch_source)
    concluded(nights, settings)


def start_catch_up(*, first: date | None, last: date | None, refit_every: int) -> str:
    """Run the nights of a span in this process, after the checks; a sentence about the result.

    Raises:
        ForecastingError: A check or a night failed; nothing is written when a check fails.
    """
    settings = read_settings()
    first, last = plan.checked_span(settings, first, last, now=clock.now)
    try:
        if has_server(settings):
            from flows.catch_up import catch_up
            from flows.server import reached_server

            with watched_nights(), reached_server():
                done: list[str] = catch_up(first, last, refit_every=refit_every) or []
        else:
            with nights_here(settings):
                planned = plan.planned_span(settings, first, last, refit_every=refit_every, now=clock.now)
                nights = run_here(planned, settings)
            done = concluded(nights, settings)
    except SymbolsFailedError:
        echo(done_sentence(settings, first, last))
        raise
    return completed_sentence(settings, done, first, last)


def has_server(settings: Settings) -> bool:
    """Whether a run goes through Prefect: a server is configured, `serve` runs on this data folder, or Dask runs it.

    Prefect, which takes a second to import, is asked only where the environment or a file may name one.
    """
    if settings.runner == "dask" and workers_of(settings) > 1:  # by Prefect's runner
        return True
    home = os.environ.get("PREFECT_HOME") or os.path.expanduser("~/.prefect")  # noqa: PTH111 - of a user without a home
    profiles = os.environ.get("PREFECT_PROFILES_PATH") or f"{home}/profiles.toml"
    files = [settings.data_dir / SERVED, Path(profiles), Path("prefect.toml"), Path(".env")]
    if "prefect" not in sys.modules and not os.environ.get("PREFECT_API_URL") and not any(map(Path.exists, files)):
        return False
    from flows import server

    return server.has_server()


@contextmanager
def nights_here(settings: Settings) -> Iterator[None]:
    """A block in which nights run without Prefect, under their lock; an error that stops all of them is sent."""
    try:
        with watched_nights(), lock.night_lock(settings.url, "night"), ledger(settings):
            yield
    except Exception as error:
        failure = explained(error, now=clock.now)
        send_failed(failure, settings)
        raise failure from None


def run_here(planned: list[Night], settings: Settings, *, switch_source: bool = False) -> list[Night]:
    """The nights as they ended, run in a block of `nights_here`."""
    show_nights(planned)
    return run_nights(
        planned,
        settings,
        now=clock.now,
        wait=lambda until, why, late: clock.wait_until(until),
        switch_source=switch_source,
        shown=show_step,
    )


def start_serving() -> None:
    """Serve the nightly deployment on its schedule; runs missed while this was down start first."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.schedules import Cron
    from prefect.server.schemas.schedules import CronSchedule

    from flows.nightly import nightly
    from flows.server import ensure_server

    settings = read_settings()
    migrate.check_ready(settings.url)
    with lock.serve_lock(settings.data_dir), ensure_server():
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


def all_checks() -> list[dict[str, str]]:
    """What a night needs, checked without a change: a row each, with check, state (`ok` or `wrong`) and found."""

    def prefect() -> str:
        from flows import server

        if not server.has_server():
            server.check_home()
            return "no server configured: `run` and `catch-up` need none, `serve` starts its own"
        with server.reached_server() as url:
            return f"server {url} responds"

    return checked({**night_checks(read_settings(), now=clock.now), "prefect": prefect})
