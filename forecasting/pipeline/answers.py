"""What a source answered and what that means: requests are made one after the other, and nothing is written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from typing import Literal, cast

import pandas as pd

from forecasting.errors import BadDataError, ForecastingError, SourceError
from forecasting.ingest import events as earnings
from forecasting.ingest.assessment import Assessment, Request, StoredBars, assess
from forecasting.ingest.bar_rules import Finding
from forecasting.ingest.bars import nothing_fetched
from forecasting.ingest.event_history import Change, Lists, changes
from forecasting.ingest.market_bars import assess_market, prices_alone
from forecasting.ingest.revisions import Revision, nothing_changed
from forecasting.ingest.sources import Fetched, ManySource, Source
from forecasting.ingest.sources.plugins import called, fetched_from, is_live, made_canonical
from forecasting.pipeline import shard
from forecasting.pipeline.earnings_lists import Asking, Calendar, calendar_of, listed_events, stale_findings
from forecasting.pipeline.ledger_clock import check_clock, clock_note, ledger_instant, name_clock
from forecasting.pipeline.night_run import NightRun
from forecasting.pipeline.shard import Outcome
from forecasting.preprocess.features import WARM_UP
from forecasting.preprocess.windows import MIN_ROWS
from forecasting.sessions import ends_soon

logger = logging.getLogger("forecasting.ingest")

Purpose = Literal["night", "ingest", "companion", "market"]
"""Why bars are fetched: for a night of their symbol, for themselves, as training data or as market series of others."""

StopOn = tuple[type[SourceError], ...]


@dataclass(frozen=True)
class Asked:
    """The oldest and the newest session that are requested."""

    first: date
    last: date


@dataclass(frozen=True)
class Stored:
    """What is stored of the symbol, and what is requested beside it.

    `stale` has the open findings on its earnings dates, which only a request for those clears.
    """

    source: Source
    switched_from: str
    bars: StoredBars
    events: pd.DataFrame
    stale: list[Finding]
    newest_instant: datetime | None
    accept: bool
    asked: Asked
    answer: Fetched | Exception | None = None  # of a request for several symbols


@dataclass(frozen=True)
class Answer:
    """What a request brought and means; with an error, the row of a request that stored nothing."""

    source: Source
    fetched: Fetched
    revision: Revision
    events: list[Change]
    fetched_at: datetime
    error: ForecastingError | None = None
    note: str = ""


def request_in_turn(stored: Sequence[Outcome[Stored]], *, purpose: Purpose, stop_on: StopOn) -> list[Outcome[Answer]]:
    """What each request brought; one for all symbols of a source that answers for several.

    Args:
        stored: What is stored of each night's symbol.
        purpose: Of the fetch.
        stop_on: After such an error the requests after it are not made: they end with the same error, as one without
            a request.
    """
    answers: list[Outcome[Answer]] = []
    together, refused = _asked_together(stored, stop_on)
    with_dates = purpose in ("night", "ingest")
    asking = [_asking(one.run, one.get()) for one in stored if one.error is None]
    calendar = calendar_of(asking) if with_dates else None
    for one in together:
        name = one.run.spec.source
        if one.error is not None or (one.get().answer is None and name in refused):
            answers.append(Outcome(one.run, error=one.error or refused[name].without_request()))
            continue
        answer = shard.attempt(one.run, partial(_request, one.run, one.get(), calendar, purpose=purpose))
        answers.append(answer)
        error = answer.error or (answer.value.error if answer.value else None)
        if isinstance(error, stop_on):
            refused[name] = error
    return answers


def _asked_together(
    stored: Sequence[Outcome[Stored]], stop_on: StopOn
) -> tuple[list[Outcome[Stored]], dict[str, SourceError]]:
    """The same, with the responses of sources that answer for several symbols in one request; the refusals by source.

    After an error of `stop_on` the source is not requested for the other symbols.
    """
    answers: dict[str, Fetched | Exception] = {}
    refused: dict[str, SourceError] = {}
    of_request: dict[tuple[str, Asked], list[Outcome[Stored]]] = {}
    for one in stored:
        if one.error is None and isinstance(one.get().source, ManySource):
            of_request.setdefault((one.run.spec.source, one.get().asked), []).append(one)
    for (name, asked), some in of_request.items():
        if name not in refused:
            found = _responses(some, asked)
            answers |= found
            refused |= [(name, answer) for answer in found.values() if isinstance(answer, stop_on)]
    return shard.compute_each(stored, lambda run, one: replace(one, answer=answers.get(run.spec.symbol))), refused


def _responses(nights: Sequence[Outcome[Stored]], asked: Asked) -> dict[str, Fetched | Exception]:
    """By symbol, what one request for several brought; its error is that of each."""
    source, symbols = cast(ManySource, nights[0].get().source), [one.run.spec.symbol for one in nights]
    found = shard.attempt(nights[0].run, partial(_many, source, symbols, asked))
    return dict.fromkeys(symbols, found.error) if found.error is not None else found.get()


def _many(source: ManySource, symbols: Sequence[str], asked: Asked) -> dict[str, Fetched | Exception]:
    with called(source):
        found = dict(source.fetch_many(symbols, asked.first, asked.last))
    return {
        symbol: BadDataError(_NOT_AMONG.format(symbol=symbol)) if (answer := found.get(symbol)) is None else answer
        for symbol in symbols
    }


_NOT_AMONG = (
    "The source returned nothing of {symbol} among the symbols requested with it. Check how it writes the symbol."
)


def _response(symbol: str, stored: Stored) -> Fetched:
    if isinstance(stored.answer, Exception):
        with called(stored.source):
            raise stored.answer
    asked = stored.asked.first, stored.asked.last
    if stored.answer is not None:
        return made_canonical(stored.answer, stored.source.name, symbol, asked)
    return fetched_from(stored.source, symbol, *asked)


def _request(run: NightRun, stored: Stored, calendar: Calendar | None, *, purpose: Purpose) -> Answer:
    """The assessed answer to one request; without a calendar no earnings dates are asked for.

    Raises:
        SourceError: A file cannot be used: nothing left this machine, so no row is kept.
    """
    source, spec, settings = stored.source, run.spec, run.settings
    first, session = stored.asked.first, stored.asked.last
    try:
        fetched = _response(spec.symbol, stored)
    except SourceError as error:
        if not is_live(source):
            raise
        nothing = nothing_fetched(source.name, spec.symbol, first, session)
        instant = ledger_instant(stored.newest_instant, run.now())
        return Answer(source, nothing, nothing_changed(error.verdict, str(error)), [], instant, error)
    check_clock(fetched, settings.exchange, now=run.now(), index=purpose == "market" or spec.symbol.startswith("^"))
    lists = _lists(run, stored, calendar)
    request = Request(session, spec.source, settings.exchange, WARM_UP + MIN_ROWS, stored.accept)
    fetched = prices_alone(fetched) if purpose == "market" else fetched
    assessed = (assess_market if purpose == "market" else assess)(fetched, request, stored.bars)
    added = changes(stored.events, lists, session=session, exchange=settings.exchange)
    stale = stored.stale if calendar is None else stale_findings(_asking(run, stored), lists)
    revision = _with_switch(assessed, stored.switched_from)
    revision = replace(revision, findings=[*revision.findings, *stale])
    if assessed.note:
        logger.warning(assessed.note)
    notes = (clock_note(stored.newest_instant, now=run.now()), assessed.note, ends_soon(session, settings.exchange))
    note = " ".join(filter(None, notes))
    return Answer(source, fetched, revision, added, lists.seen_at, name_clock(assessed.error, session, run), note)


def _lists(run: NightRun, stored: Stored, calendar: Calendar | None) -> Lists:
    exchange, events = run.settings.exchange, run.spec.events
    nothing = earnings.reacting(earnings.no_events(), exchange=exchange)
    return Lists(
        usable=earnings.usable_events(run.spec.symbol, events, exchange=exchange),
        listed=nothing if calendar is None else listed_events(_asking(run, stored), calendar),
        usable_source=events or "bundled",
        listed_source=stored.source.name,
        seen_at=ledger_instant(stored.newest_instant, run.now()),
    )


def _asking(run: NightRun, stored: Stored) -> Asking:
    return Asking(run, stored.source, stored.asked.last, stored.events)


def _with_switch(assessed: Assessment, switched_from: str) -> Revision:
    """The revision, its detail with what the user or the operator should see beside the numbers."""
    revision = assessed.revision
    if assessed.error is not None:
        return revision
    switched = f"source switched from {switched_from}; " if switched_from else ""
    note = f". {assessed.note}" if assessed.note else ""
    return replace(revision, detail=f"{switched}{revision.detail}{note}")
