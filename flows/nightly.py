"""The night as a Prefect flow: ingest, preprocess, train, predict, evaluate, for every missed session, oldest first."""

import logging
from datetime import date, timedelta
from typing import Any

from prefect import flow, runtime
from prefect.states import Completed
from pydantic import ValidationError

from flows import clock
from flows.events import tell_failed
from flows.night import Night
from flows.prefect_logs import readable_errors
from flows.skipped import nothing_new
from flows.tasks import evaluate, ingest, patient_ingest, predict, preprocess, score, train
from forecasting.errors import DataLateError, ForecastingError, UsageError
from forecasting.sessions import between, is_session, last_completed
from forecasting.settings import Mode, Settings, Target, read_settings
from forecasting.store import database, reads, writes

logger = logging.getLogger("forecasting.night")


def flow_run_name() -> str:
    """`nightly-SBUX-2024-03-08`: what the night is about, so that a list of runs can be read."""
    given = runtime.flow_run.parameters
    settings = read_settings()
    symbols = given.get("symbols") or settings.symbols
    session = given.get("as_of") or given.get("last")
    session = session or newest_named(symbols[0], given.get("source"), settings.for_symbol(symbols[0]))
    return f"{runtime.flow_run.flow_name}-{'+'.join(symbols[:3])}-{session}"


def newest_named(symbol: str, source: str | None, settings: Settings) -> date:
    """The session a night without as_of will end with, for its name; a broken source fails later, in words."""
    try:
        return newest_session(symbol, settings.model_copy(update={"source": source or settings.source}))
    except ForecastingError:
        return last_completed(clock.now(), settings.exchange)


@flow(name="nightly", flow_run_name=flow_run_name, on_failure=[tell_failed])
def nightly(
    symbols: list[str] | None = None,
    target: Target | None = None,
    source: str | None = None,
    events: str | None = None,
    as_of: date | None = None,
    mode: Mode = "auto",
    patient: bool = False,
    switch_source: bool = False,
) -> Any:
    """Bring bars up to date, fit a challenger, forecast five sessions, score what has closed.

    Args:
        symbols: Symbols as Yahoo writes them; without it those of FORECASTING_SYMBOLS.
        target: volume, close or range; without it FORECASTING_TARGET.
        source: yahoo, csv:PATH, parquet:PATH, sample or an installed NAME:ARGUMENT; without it FORECASTING_SOURCE.
        events: Earnings dates as csv:PATH; without it FORECASTING_EVENTS or the bundled ones.
        as_of: The newest session that may be known; without it the newest completed one, and all missed before it.
        mode: auto, scratch, warm or skip.
        patient: Retry a late bar or a deaf source for hours, then go on with the bars there are; for unattended runs.
        switch_source: Allow bars of another source for a symbol that has some.

    Returns:
        The run ids, oldest night first; a state named Skipped when there was nothing to do.
    """
    given = {"symbols": symbols, "target": target, "source": source, "events": events}
    settings = narrowed(read_settings(), given)
    with readable_errors(), database.night_lock(settings.url, "night"):
        done: list[str] = []
        failed: list[ForecastingError] = []
        for symbol in settings.symbols:
            own = settings.for_symbol(symbol)
            try:
                nights = missed_nights(symbol, own, as_of=as_of, mode=mode)
                done += work_off(nights, own, patient=patient, switch_source=switch_source)
            except ForecastingError as error:  # one symbol's trouble is not the next one's
                logger.error("%s: %s", symbol, error)
                failed.append(error)
    if failed:
        raise failed[0]
    if not done:
        newest = {symbol: as_of or newest_session(symbol, settings.for_symbol(symbol)) for symbol in settings.symbols}
        return Completed(name="Skipped", message=nothing_new(newest, settings))
    return done


def narrowed(settings: Settings, given: dict[str, Any]) -> Settings:
    """The settings with what the flow was given in their place.

    Raises:
        UsageError: A symbol or another value cannot be meant.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings.model_validate({**dict(settings), **chosen})
    except ValidationError as error:
        problems = "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors(include_input=False))
        raise UsageError(f"The night was given a parameter that cannot be meant. {problems}.") from None


def missed_nights(symbol: str, settings: Settings, *, as_of: date | None, mode: Mode) -> list[Night]:
    """The nights to work off, oldest first: the one asked for, or every session since the newest forecast.

    Raises:
        UsageError: `as_of` is no trading session.
    """
    if as_of is not None:
        check_session(as_of, settings.exchange)
        sessions = [as_of]
    else:
        last = newest_session(symbol, settings)
        with database.reading(settings.url) as connection:
            spoken = reads.forecast_origins(connection, symbol, settings.target)
        missed = between(spoken[-1], last, settings.exchange)[1:] if spoken else []
        sessions = missed or [last]
    return [
        Night(symbol, session, settings.target, settings.source, settings.events, mode, "run" if as_of else "schedule")
        for session in sessions
    ]


def check_session(day: date, exchange: str) -> None:
    """Refuse a day that is not traded.

    Raises:
        UsageError: Names the day and the session before it.
    """
    if not is_session(day, exchange):
        before = between(day - timedelta(days=10), day, exchange)[-1]
        raise UsageError(
            f"--as-of names a trading session of {exchange}; {day} is a {day:%A} on which it does not trade. "
            f"The session before it is {before}."
        )


def newest_session(symbol: str, settings: Settings) -> date:
    """The newest session a night may work on: the newest completed one, or the newest a file holds."""
    from forecasting.ingest.sources.choose import newest_session as newest_in_file
    from forecasting.ingest.sources.choose import source_of

    source = source_of(settings.source, cache_dir=settings.data_dir.absolute() / "yahoo-cache")
    return newest_in_file(source, symbol) or last_completed(clock.now(), settings.exchange)


def work_off(
    nights: list[Night], settings: Settings, *, patient: bool = False, switch_source: bool = False
) -> list[str]:
    """Work off one symbol's nights, oldest first, on one fetch; the ids of the runs that were not done yet."""
    open_nights = [night for night in nights if not is_done(night, settings)]
    if not open_nights:
        return []
    ingest_task = patient_ingest if patient else ingest
    try:
        ingest_task(open_nights[-1], switch_source=switch_source)
    except DataLateError as late:
        open_nights = nights_without_the_late_bar(open_nights, late, patient=patient)
        ingest_task(open_nights[-1], switch_source=switch_source)
    for night in open_nights:
        one_night(night, settings)
    return [night.run_id(settings) for night in open_nights]


def nights_without_the_late_bar(nights: list[Night], late: DataLateError, *, patient: bool) -> list[Night]:
    """The nights whose bars are there, once waiting has been given up; a person who waits is told at once.

    Raises:
        DataLateError: Nobody asked for patience, or no night is left.
    """
    kept = [night for night in nights if late.newest is not None and night.session <= late.newest]
    if not patient or not kept:
        raise late
    logger.warning("going on without the late bar: %s", late)
    return kept


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
