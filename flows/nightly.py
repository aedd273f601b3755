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
from flows.work import work_off
from forecasting.errors import ForecastingError, UsageError
from forecasting.sessions import between, is_session, last_completed
from forecasting.settings import Mode, Settings, Target, read_settings
from forecasting.store import database, reads

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
        patient: Ask a late or deaf source again until FORECASTING_LATE_UNTIL, then go on with the bars there are; for
            unattended runs.
        switch_source: Allow bars of another source for a symbol that has some.

    Returns:
        The run ids, oldest night first; a state named WithoutBar when the newest bar never came and nothing else was to
        do, or Skipped when there was nothing to do at all.
    """
    given = {"symbols": symbols, "target": target, "source": source, "events": events}
    settings = narrowed(read_settings(), given)
    with readable_errors(), database.night_lock(settings.url, "night"), database.kept_open(settings.url):
        nights, failed = planned(settings, as_of=as_of, mode=mode)
        worked = work_off(nights, settings, patient=patient, switch_source=switch_source)
    if failed or worked.failed:
        raise [*failed, *worked.failed][0]
    if worked.done:
        return worked.done
    if worked.without:
        return Completed(name="WithoutBar", message=" ".join(worked.without))
    newest = {symbol: as_of or newest_session(symbol, settings.for_symbol(symbol)) for symbol in settings.symbols}
    return Completed(name="Skipped", message=nothing_new(newest, settings))


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


def planned(settings: Settings, *, as_of: date | None, mode: Mode) -> tuple[list[list[Night]], list[ForecastingError]]:
    """Each symbol's nights, oldest first, and what is wrong with those that have none."""
    nights: list[list[Night]] = []
    failed: list[ForecastingError] = []
    for symbol in settings.symbols:
        try:
            nights.append(missed_nights(symbol, settings.for_symbol(symbol), as_of=as_of, mode=mode))
        except ForecastingError as error:  # one symbol's trouble is not the next one's
            logger.error("%s: %s", symbol, error)
            failed.append(error)
    return nights, failed


def missed_nights(symbol: str, settings: Settings, *, as_of: date | None, mode: Mode) -> list[Night]:
    """The nights to work off, oldest first: the one asked for, or every session since the newest finished night.

    Finished, not forecast: a night that was cut off after its forecasts still owes its scores and its decision.

    Raises:
        UsageError: `as_of` is no trading session.
    """
    if as_of is not None:
        check_session(as_of, settings.exchange)
        sessions = [as_of]
    else:
        last = newest_session(symbol, settings)
        with database.reading(settings.url) as connection:
            finished = reads.newest_finished(connection, symbol, settings.target)
        missed = between(finished, last, settings.exchange)[1:] if finished else []
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
