"""What the command line starts: it refuses what can be refused before a flow begins, then runs it in this process."""

from datetime import date
from typing import Any

from prefect.schedules import Cron

from flows.night import Night
from flows.nightly import check_session, missed_nights, newest_session, nightly
from flows.progress import watched_nights
from flows.steps.ingest import fetch_and_store
from flows.steps.train import load_model
from forecasting.errors import UsageError
from forecasting.settings import Mode, Settings, read_settings
from forecasting.store import database, lineage, reads


def start_night(*, as_of: date | None, mode: Mode, switch_source: bool) -> None:
    """Run the flow in this process, after what can be refused has been refused.

    Raises:
        ForecastingError: As one paragraph; nothing was written then.
    """
    settings = read_settings()
    database.check_ready(settings.url)
    for symbol in settings.symbols:
        missed_nights(symbol, settings.for_symbol(symbol), as_of=as_of, mode=mode)
        if mode == "warm":
            check_parent(symbol, settings)
    with watched_nights():
        nightly(as_of=as_of, mode=mode, switch_source=switch_source)


def check_parent(symbol: str, settings: Settings) -> None:
    """Refuse a warm fit that has nothing to start from, before anything is written.

    Raises:
        UsageError: There is no champion.
        ArtifactError: Its weights are missing, altered, or of code that this code cannot run.
    """
    with database.reading(settings.url) as connection:
        champion = reads.champion(connection, symbol, settings.target)
    if champion is None:
        raise UsageError(
            f"--mode warm starts from a champion of {symbol} {settings.target}; there is none yet. Use --mode scratch."
        )
    load_model(champion, settings)


def start_ingest(*, as_of: date | None, switch_source: bool) -> list[dict[str, Any]]:
    """Bring every symbol's bars up to date without a night; the rows of the fetches.

    Raises:
        ForecastingError: As one paragraph; nothing was written for that symbol.
    """
    settings = read_settings()
    database.check_ready(settings.url)
    fetched = []
    for symbol in settings.symbols:
        own = settings.for_symbol(symbol)
        session = as_of or newest_session(symbol, own)
        check_session(session, own.exchange)
        night = Night(symbol, session, settings.target, settings.source, settings.events)
        with database.night_lock(settings.url, "night"):
            fetch_id = fetch_and_store(night, own, switch_source=switch_source, purpose="ingest")
        with database.reading(settings.url) as connection:
            fetched.append(lineage.fetch(connection, fetch_id) or {})
    return fetched


def start_serving() -> None:
    """Serve the nightly deployment on its schedule; what was missed while this was down is made up for at the start."""
    from flows.server import server_or_own
    from flows.zombies import clear_zombies

    settings = read_settings()
    database.check_ready(settings.url)
    with server_or_own():
        clear_zombies()
        nightly.serve(
            name="nightly",
            schedule=Cron(settings.cron, timezone=settings.timezone, slug="nightly"),
            parameters={"patient": True},
            tags=["forecasting"],
            description="Forecast the next five sessions, score what has closed.",
            pause_on_shutdown=False,
            limit=1,
        )
