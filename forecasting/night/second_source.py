"""The newest volumes and closes compared with those of a second source, the witness.

It changes no bar and no forecast, and fails no night: what differs is a finding, and where nothing
could be compared the run has a note.
"""

import logging
from collections.abc import Sequence
from datetime import date

from forecasting.errors import (
    BadDataError,
    SourceError,
    UnavailableError,
    UsageError,
)
from forecasting.ingest import witness
from forecasting.ingest.sources import Fetched, ManySource, Source, plugins
from forecasting.night.night import Night
from forecasting.night.run_log import open_run
from forecasting.plain_text import plain_text
from forecasting.sessions import shift
from forecasting.settings import Settings
from forecasting.store import connect, read, write
from forecasting.store.connect import Connection
from forecasting.time_limit import within

logger = logging.getLogger("forecasting.ingest")

WAIT_S = 60.0  # for all symbols of a batch together
_REFUSAL = "witness "  # before its name among the refusals: a failed witness delays a round once


def witness_of(settings: Settings) -> Source | None:
    """The source that FORECASTING_WITNESS names, or None; a UsageError for no source."""
    if settings.witness is None:
        return None
    try:
        return plugins.source_of(settings.witness, cache_dir=settings.yahoo_cache)
    except UsageError as error:
        raise UsageError(f"FORECASTING_WITNESS names no source that can be used. {error}") from None


def compare_with_witness(nights: Sequence[Night], refusals: dict[str, SourceError]) -> None:
    """Compare the stored bars of nights with the witness's, and write what differs."""
    if not nights or nights[0].settings.witness is None:
        return
    responses = _of_witness(nights, refusals)
    for night in nights:
        try:
            with connect.transaction(night.url) as connection:
                _compare(connection, night, responses[night.symbol])
        except Exception as error:  # of other people's code, anything; the nights go on
            note = plain_text(f"Witness {night.settings.witness}: nothing was compared. {error}")
            logger.warning("%s: %s", night.symbol, note)
            with connect.transaction(night.url) as connection:
                notes = {"second_source": note}
                open_run(
                    connection,
                    night,
                    started_at=night.now(),
                    notes=notes,
                )


def _of_witness(
    nights: Sequence[Night], refusals: dict[str, SourceError]
) -> dict[str, Fetched | Exception]:
    """By symbol, the bars of the witness, within WAIT_S for all, or the error in their place."""
    symbols = [night.symbol for night in nights]
    name = f"{_REFUSAL}{nights[0].settings.witness}"
    if name in refusals:
        silent = UnavailableError("It failed a moment ago; no further request was made.")
        return dict.fromkeys(symbols, silent)
    responses: dict[str, Fetched | Exception] = {}
    failure: Exception = BadDataError("It has no bars of the symbol.")
    try:
        within(WAIT_S, lambda: _request(nights, responses), name="The request")
    except Exception as error:  # of other people's code, anything
        failure = refusals[name] = UnavailableError(str(error))
    # A copy: after the limit, the thread may still add to it.
    return dict.fromkeys(symbols, failure) | dict(responses)


def _request(nights: Sequence[Night], responses: dict[str, Fetched | Exception]) -> None:
    """Add to the responses what the witness has of each night's symbol."""
    settings = nights[0].settings
    symbols = [night.symbol for night in nights]
    first = min(_oldest(night, witness.SESSIONS) for night in nights)
    last = max(night.session for night in nights)
    source = plugins.source_of(str(settings.witness), cache_dir=settings.yahoo_cache)
    if isinstance(source, ManySource):
        responses.update(source.fetch_many(symbols, first, last))
        return
    for symbol in symbols:
        try:
            responses[symbol] = plugins.fetched_from(
                source,
                symbol,
                first,
                last,
            )
        except (BadDataError, UsageError, ValueError) as error:  # of this symbol alone
            responses[symbol] = error


def _oldest(night: Night, sessions: int) -> date:
    """The oldest of so many sessions up to the night's."""
    return shift(night.session, 1 - sessions, night.exchange)


def _compare(connection: Connection, night: Night, response: Fetched | Exception) -> None:
    if isinstance(response, Exception):
        raise response
    symbol = night.symbol
    first = _oldest(night, witness.SESSIONS)
    bars = read.bars(
        connection,
        symbol,
        first=first,
        last=night.session,
    )
    if not bars.index.isin(response.bars.index).any():
        raise BadDataError(f"It has none of the {witness.SESSIONS} sessions up to {night.session}.")
    by_witness = {"symbol": symbol, "rule": [*witness.RULES]}
    since = _oldest(night, 2 * witness.SESSIONS)
    findings = witness.disagreements(
        bars,
        response.bars,
        witness=response.source,
        stored=[
            (row["session"], row["rule"], row["value"])
            for row in read.table_rows(connection, "findings", by_witness)
            if row["session"] >= since
        ],
    )
    fetch = read.row(connection, "fetches", {"id": night.fetch_id}) or {}
    write.add_flags(
        connection,
        symbol,
        findings,
        fetch_id=night.fetch_id,
        fetched_at=fetch["fetched_at"],
    )
    logger.info(
        "%s: %d new findings by the witness %s",
        symbol,
        len(findings),
        response.source,
    )
