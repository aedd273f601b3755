"""The newest stored volumes and closes compared with those of a second source, the witness, after the night's fetch.

A witness changes no bar, no window and no forecast, and fails no night: what differs is a finding, and where nothing
could be compared the night's run has a note. A replay makes no request to it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from time import monotonic as _monotonic

from forecasting.errors import BadDataError, UnavailableError, UsageError
from forecasting.ingest.bars import check_shape
from forecasting.ingest.sources import Fetched, ManySource, Source
from forecasting.ingest.sources.plugins import source_of
from forecasting.ingest.witness import RULES, SESSIONS, disagreements
from forecasting.pipeline.night import Night
from forecasting.pipeline.run_log import open_run
from forecasting.plain_text import plain_text
from forecasting.sessions import shift
from forecasting.settings import Settings
from forecasting.store import connect, read, write
from forecasting.store.connect import Connection
from forecasting.time_limit import TimeLimitError, within

logger = logging.getLogger("forecasting.witness")

WAIT_S = 60.0  # For all symbols of a batch together
ASK_AGAIN_S = 1800.0  # Pause after a failure: a witness that does not respond delays a night once, not with every batch
_failed_at: dict[str, float] = {}  # by FORECASTING_WITNESS, in this process


def witness_of(settings: Settings) -> Source | None:
    """The source that FORECASTING_WITNESS names; None where it is not set. A UsageError where it cannot be used."""
    if settings.witness is None:
        return None
    try:
        return source_of(settings.witness, cache_dir=settings.yahoo_cache)
    except UsageError as error:
        raise UsageError(f"FORECASTING_WITNESS names no source that can be used. {error}") from None


def compare_with_witness(nights: Sequence[Night]) -> None:
    """Compare the stored bars of nights, each with its fetch, with the witness's, and write what differs."""
    if not nights or nights[0].settings.witness is None:
        return
    responses = _responses(nights)
    for night in nights:
        try:
            with connect.transaction(night.settings.url) as connection:
                _compare(connection, night, responses[night.symbol])
        except Exception as error:  # whatever it is, the nights go on
            logger.warning("%s was not compared with the witness: %s", night.symbol, error)


def _responses(nights: Sequence[Night]) -> dict[str, Fetched | Exception]:
    """By symbol, the bars of the witness, within WAIT_S for all, or the error in their place."""
    settings, symbols = nights[0].settings, [night.symbol for night in nights]
    name = str(settings.witness)
    if _monotonic() - _failed_at.get(name, -math.inf) < ASK_AGAIN_S:
        return dict.fromkeys(symbols, UnavailableError("It failed a moment ago; no further request was made."))
    responses: dict[str, Fetched | Exception] = {}

    def request() -> None:
        first = min(shift(night.session, 1 - SESSIONS, night.settings.exchange) for night in nights)
        last = max(night.session for night in nights)
        witness = source_of(name, cache_dir=settings.yahoo_cache)
        if isinstance(witness, ManySource):
            responses.update(witness.fetch_many(symbols, first, last))
            return
        for symbol in symbols:
            try:
                responses[symbol] = witness.fetch(symbol, first, last)
            except BadDataError as error:
                responses[symbol] = error

    failure: Exception = BadDataError("It has no bars of the symbol.")
    try:
        within(WAIT_S, request, name="witness")
    except Exception as error:  # of other people's code, anything
        failure = error
        if isinstance(error, TimeLimitError):
            failure = UnavailableError(f"It did not respond in {WAIT_S:g} s.")
        if not isinstance(error, UsageError):
            _failed_at[name] = _monotonic()
    return dict.fromkeys(symbols, failure) | dict(responses)  # a copy: after the limit, the thread may still add to it


def _compare(connection: Connection, night: Night, response: Fetched | Exception) -> None:
    """Write the findings on a night's symbol, or the note that nothing could be compared."""
    symbol, session, exchange = night.symbol, night.session, night.settings.exchange
    bars = read.bars(connection, symbol, first=shift(session, 1 - SESSIONS, exchange), last=session)
    try:
        if isinstance(response, Exception):
            raise response
        check_shape(response)
        if response.symbol != symbol:
            raise BadDataError(f"It returned bars of {response.symbol}.")
        if not bars.index.isin(response.bars.index).any():
            raise BadDataError(f"It has none of the {SESSIONS} sessions up to {session}.")
    except Exception as error:  # of other people's code, anything
        note = plain_text(f"Witness {night.settings.witness}: nothing was compared. {error}")
        logger.warning("%s: %s", symbol, note)
        open_run(connection, night, started_at=night.now(), notes={"second_source": note})
        return
    first = shift(session, 1 - 2 * SESSIONS, exchange)
    before = read.table_rows(connection, "findings", {"symbol": symbol, "rule": [*RULES]})
    stored = [(row["session"], row["rule"], row["value"]) for row in before if row["session"] >= first]
    findings = disagreements(bars, response.bars, witness=response.source, stored=stored)
    fetch = read.row(connection, "fetches", {"id": night.fetch_id}) or {}
    write.add_flags(connection, symbol, findings, fetch_id=night.fetch_id, fetched_at=fetch["fetched_at"])
    logger.info("%s: %d new findings by the witness %s", symbol, len(findings), response.source)
