"""What the commands start: checks that need no flow, then the flow in this process."""

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

from flows import clock
from flows.progress import progress_bar, watched_nights
from forecasting.article.experiment import ArticleResult
from forecasting.errors import UsageError
from forecasting.pipeline import plan
from forecasting.pipeline.backtest import article_experiment, backtest_spec, walk_forward
from forecasting.pipeline.ingest import fetch_and_store
from forecasting.pipeline.night_run import NightSpec, night_run
from forecasting.pipeline.registry import check_champion
from forecasting.pipeline.shard import only
from forecasting.report.article_page import render_article
from forecasting.sessions import is_session
from forecasting.settings import read_settings
from forecasting.store import database, migrate, read
from forecasting.vocabulary import Mode


def start_night(*, as_of: date | None, mode: Mode, switch_source: bool) -> None:
    """Run the flow in this process, after the checks that need no flow.

    Raises:
        ForecastingError: A check or the flow failed; nothing is written when a check fails.
    """
    from flows.nightly import nightly
    from flows.operations.server import run_server

    settings = read_settings()
    migrate.check_ready(settings.url)
    for symbol in settings.symbols:
        plan.missed_nights(symbol, settings.for_symbol(symbol), as_of=as_of, mode=mode, now=clock.now)
        if mode == "warm":
            check_champion(symbol, settings)
    with watched_nights(), run_server():
        nightly(as_of=as_of, mode=mode, switch_source=switch_source)


def start_catch_up(*, first: date | None, last: date | None, refit_every: int) -> str:
    """Run the flow in this process, after the checks that need no flow; a sentence about the result.

    Raises:
        ForecastingError: A check or the flow failed; nothing is written when a check fails.
    """
    from flows.catch_up import catch_up
    from flows.operations.server import run_server

    settings = read_settings()
    migrate.check_ready(settings.url)
    by_symbol = [settings.for_symbol(symbol) for symbol in settings.symbols]
    last = last or min(plan.newest_session(own.symbols[0], own, now=clock.now) for own in by_symbol)
    first = first or plan.oldest_missed(by_symbol, last)
    for day in (first, last):
        own = next((own for own in by_symbol if is_session(day, own.exchange)), by_symbol[0])
        plan.check_session(day, own.exchange, now=clock.now)
    if first > last:
        raise UsageError(f"Invalid --from {first}: expected a session before --to {last}, or the same one.")
    with watched_nights(), run_server():
        done: list[str] = catch_up(first, last, refit_every=refit_every) or []
    return f"{', '.join(settings.symbols)}: {len(done)} sessions completed between {first} and {last}."


def start_ingest(*, as_of: date | None, switch_source: bool) -> list[dict[str, Any]]:
    """Bring every symbol's bars up to date without a night; the rows of the fetches.

    Raises:
        ForecastingError: A symbol's check or fetch failed.
    """
    settings = read_settings()
    migrate.check_ready(settings.url)
    fetched = []
    for symbol in settings.symbols:
        own = settings.for_symbol(symbol)
        session = as_of or plan.newest_session(symbol, own, now=clock.now)
        plan.check_session(session, own.exchange, now=clock.now)
        spec = NightSpec(symbol, session, settings.target, settings.source, settings.events)
        run = night_run(spec, settings, now=clock.now)
        with database.night_lock(settings.url, "night"):
            fetch_id = only(fetch_and_store([run], switch_source=switch_source, purpose="ingest"))
        with database.reading(settings.url) as connection:
            fetched.append(read.fetch(connection, fetch_id) or {})
    return fetched


def start_backtest(
    first: date, last: date, *, refit_every: int, workers: int, store: bool, out: Path | None
) -> dict[str, Any]:
    """The result document of a walk-forward backtest of the first symbol in the settings; written to `out` too.

    Raises:
        UsageError: `out` cannot be written; raised before the backtest begins.
    """
    if out is not None:
        check_writable(out)
    spec = backtest_spec(read_settings(), first, last, refit_every=refit_every, workers=workers)
    document = walk_forward(spec, store=store, now=clock.now, bar=progress_bar)
    if out is not None:
        out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return document


def start_article(out: Path, *, as_of: date | None, seed: int) -> ArticleResult:
    """The article's experiment on the newest rows of the source, its page written to `out`."""
    check_writable(out)
    result = article_experiment(read_settings(), as_of=as_of, seed=seed, now=clock.now, bar=progress_bar)
    out.write_text(render_article(result), encoding="utf-8")
    return result


def check_writable(out: Path) -> None:
    """Refuse a path that cannot be written, before the work whose result goes there.

    Raises:
        UsageError: Names the path.
    """
    try:
        wrong = "a folder" if out.is_dir() else "" if out.absolute().parent.is_dir() else "no folder to put it in"
        wrong = wrong or (
            "" if os.access(out if out.exists() else out.absolute().parent, os.W_OK) else "no right to write"
        )
    except OSError as error:
        wrong = str(error.strerror)
    if wrong:
        raise UsageError(f"Expected the path of a file to write, found {str(out)[:100]!r}: {wrong}. Name another.")


def start_serving() -> None:
    """Serve the nightly deployment on its schedule; runs missed while this was down start first."""
    from prefect.schedules import Cron

    from flows.nightly import nightly
    from flows.operations.crashed_runs import restart_crashed_runs
    from flows.operations.server import ensure_server

    settings = read_settings()
    migrate.check_ready(settings.url)
    with ensure_server():
        restart_crashed_runs()
        nightly.serve(
            name="nightly",
            schedule=Cron(settings.cron, timezone=settings.timezone, slug="nightly"),
            parameters={"patient": True},
            tags=["forecasting"],
            description="Forecast the next five sessions, score closed ones.",
            pause_on_shutdown=False,
            limit=1,
        )
