"""The newest stored volumes and closes compared with those of a second source, the witness, after the night's fetch.

A witness changes no bar, no window and no forecast, and fails no night: what differs is a finding, and where nothing
could be compared the night's run has a note. A replay makes no request to it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from datetime import date
from time import monotonic as _monotonic

from forecasting.errors import BadDataError, UnavailableError, UsageError
from forecasting.ingest.bars import check_shape
from forecasting.ingest.sources import Fetched, ManySource, Source
from forecasting.ingest.sources.plugins import source_of
from forecasting.ingest.witness import RULES, SESSIONS, disagreements
from forecasting.pipeline import shard
from forecasting.pipeline.night_run import NightRun
from forecasting.pipeline.run_row import open_run
from forecasting.pipeline.shard import Outcome
from forecasting.plain_text import plain_text
from forecasting.sessions import shift
from forecasting.settings import Settings
from forecasting.store import read, writes
from forecasting.store.database import Connection
from forecasting.time_limit import TimeLimitError, within

logger = logging.getLogger("forecasting.witness")

WAIT_S = 60.0
"""For all symbols of a batch together."""

ASK_AGAIN_S = 1800.0
"""Pause after a failure, so that a witness that does not respond delays a night once, not with every batch."""

_failed_at: dict[str, float] = {}  # by FORECASTING_WITNESS, in this process


Answers = dict[str, Fetched | Exception]
"""By symbol, the bars of the witness, or the error in their place."""


def witness_of(settings: Settings) -> Source | None:
    """The source that FORECASTING_WITNESS names; None where it is not set.

    Raises:
        UsageError: It names none, or keys or a package are missing.
    """
    if settings.witness is None:
        return None
    try:
        return source_of(settings.witness, cache_dir=settings.yahoo_cache)
    except UsageError as error:
        raise UsageError(f"FORECASTING_WITNESS names no source that can be used. {error}") from None


def compare_with_witness(fetched: Sequence[Outcome[str]]) -> None:
    """Compare the stored bars of nights whose fetch has succeeded with the witness's, and write what differs.

    Args:
        fetched: The id of each night's fetch.
    """
    nights = [one for one in fetched if one.error is None and one.run.settings.witness is not None]
    if not nights:
        return
    try:
        answers = _answers([one.run for one in nights])
        outcomes = shard.write_each(
            nights, lambda connection, run, fetch_id: _compare(connection, run, fetch_id, answers[run.spec.symbol])
        )
    except Exception as error:  # whatever it is, the nights go on
        logger.warning("nothing was compared with the witness: %s: %s", type(error).__name__, error)
        return
    for one in outcomes:
        if one.error is not None:
            logger.warning("%s was not compared with the witness: %s", one.run.spec.symbol, one.error)


def _answers(runs: Sequence[NightRun]) -> Answers:
    settings, symbols = runs[0].settings, [run.spec.symbol for run in runs]
    name = str(settings.witness)
    if _monotonic() - _failed_at.get(name, -math.inf) < ASK_AGAIN_S:
        return dict.fromkeys(symbols, UnavailableError("It failed a moment ago; no further request was made."))
    first = min(shift(run.spec.session, 1 - SESSIONS, run.settings.exchange) for run in runs)
    answers: Answers = {}
    failure: Exception = BadDataError("It has no bars of the symbol.")
    try:
        if (witness := witness_of(settings)) is not None:
            _request(witness, symbols, first, max(run.spec.session for run in runs), answers)
    except UsageError as error:
        failure = error
    except Exception as error:  # of other people's code, anything
        _failed_at[name] = _monotonic()
        failure = error
    return dict.fromkeys(symbols, failure) | answers


def _request(witness: Source, symbols: Sequence[str], first: date, last: date, answers: Answers) -> None:
    """Put the responses into `answers` as they come, within WAIT_S.

    Raises:
        Exception: What the witness raises; of one without `fetch_many`, not for a symbol that it lacks.
    """

    def request() -> None:
        if isinstance(witness, ManySource):
            came.update(witness.fetch_many(symbols, first, last))
            return
        for symbol in symbols:
            try:
                came[symbol] = witness.fetch(symbol, first, last)
            except BadDataError as error:
                came[symbol] = error

    came: Answers = {}  # of its own: after the limit, the thread may still add to it
    try:
        within(WAIT_S, request, name="witness")
    except TimeLimitError:
        raise UnavailableError(f"It did not respond in {WAIT_S:g} s.") from None
    finally:
        answers.update(dict(came))


def _compare(connection: Connection, run: NightRun, fetch_id: str, answer: Fetched | Exception) -> None:
    """Write the findings on a night's symbol, or the note that nothing could be compared."""
    symbol, session, exchange = run.spec.symbol, run.spec.session, run.settings.exchange
    bars = read.bars(connection, symbol, first=shift(session, 1 - SESSIONS, exchange), last=session)
    try:
        found = _usable(answer, symbol)
        if not bars.index.isin(found.bars.index).any():
            raise BadDataError(f"It has none of the {SESSIONS} sessions up to {session}.")
    except Exception as error:  # of other people's code, anything
        note = plain_text(f"Witness {run.settings.witness}: nothing was compared. {error}")
        logger.warning("%s: %s", symbol, note)
        open_run(connection, run, started_at=run.now(), note=note)
        return
    stored = read.findings_of(connection, symbol, RULES, first=shift(session, 1 - 2 * SESSIONS, exchange))
    findings = disagreements(bars, found.bars, witness=found.source, stored=stored)
    fetch = read.fetch(connection, fetch_id) or {}
    writes.add_flags(connection, symbol, findings, fetch_id=fetch_id, fetched_at=fetch["fetched_at"])
    logger.info("%s: %d new findings by the witness %s", symbol, len(findings), found.source)


def _usable(answer: Fetched | Exception, symbol: str) -> Fetched:
    if isinstance(answer, Exception):
        raise answer
    check_shape(answer)
    if answer.symbol != symbol:
        raise BadDataError(f"It returned bars of {answer.symbol}.")
    return answer
