"""Score every forecast whose session has closed."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

from forecasting.errors import StoreError
from forecasting.evaluate.scores import ScoreRow, score_rows, scored_rows
from forecasting.night.night import Night
from forecasting.night.run_log import close, mark_stopped
from forecasting.night.steps.preprocess import input_fetch
from forecasting.store import connect, read, write
from forecasting.targets import TARGETS

logger = logging.getLogger("forecasting.evaluate")

_SETTLED_WITHIN = timedelta(days=14)
"""Before the next bar is stored, with which one is settled; over the longest holidays."""


_Span = tuple[date, date, datetime | None]
"""First and last of some sessions, and up to when their bars count; None for now."""


def unpublished(night: Night) -> Night:
    """The night itself: nothing is shown of it, as where the past is run again."""
    return night


def evaluate(
    nights: Sequence[Night], publish: Callable[[Night], Night] = unpublished
) -> list[Night]:
    """Each night with its closed sessions scored, published, and its row closed.

    A night that failed is scored too, since that needs the store alone, on what was fetched last.
    """
    done = [
        night.then("evaluate", score_closed).then("evaluate", publish).then("evaluate", close)
        for night in nights
    ]
    for night in done:
        if night.error is None:
            continue
        mark_stopped(night)
        scored = replace(night, data_as_of=None, error=None).then("evaluate", score_closed)
        # Beside the error that stopped the night, which is its outcome
        if scored.error is not None:
            logger.error(
                "%s %s: its closed sessions were not scored: %s",
                night.series,
                night.session,
                scored.error,
            )
    return done


def score_closed(night: Night) -> Night:
    """The night, once the scores of its closed sessions are written."""
    with connect.reading(night.url) as connection:
        spans = _spans(connection, night)
        scores = _scores(connection, night, spans)
        totals = _total_scores(connection, night, spans, scores)
    with connect.transaction(night.url) as connection:
        added = write.add_scores(connection, scores)
        if night.is_last:  # they take as long as all else that is written
            write.sum_standings(connection, *night.key)
        write.add(connection, "total_scores", *totals)
        logger.info("scored %d forecasts of %s", added, night.series)
    return night


def _spans(connection: connect.Connection, night: Night) -> list[_Span]:
    """The sessions to score: up to the night's by the bars of its fetch.

    With a night of the past, those that have closed since by the bars of now.
    """
    session = night.session
    known_at = night.data_as_of or _newest_instant(connection, night)
    spans: list[_Span] = [(date.min, session, known_at)]
    newest = read.newest(connection, "bar_versions", "session", {"symbol": night.symbol})
    if newest is not None and newest > session:
        spans.append((session + timedelta(days=1), newest, None))
    return spans


def _scores(connection: connect.Connection, night: Night, spans: Sequence[_Span]) -> list[ScoreRow]:
    """The scores of forecasts whose session has closed."""
    scores = []
    for first, last, known_at in spans:
        unscored = read.unscored_forecasts(
            connection, *night.key, first=first, last=last, known_at=known_at
        )
        scores += score_rows(unscored, target=night.target, scored_at=night.now())
    return scores


def _total_scores(
    connection: connect.Connection,
    night: Night,
    spans: Sequence[_Span],
    scores: Sequence[ScoreRow],
) -> list[ScoreRow]:
    """The scores of totals that these scores complete.

    Also of totals that ended days before: a bar that is settled as it was first stored completes
    them too, and leaves no score.
    """
    if not TARGETS[night.target].has_totals:
        return []
    sessions = [score.target_session for score in scores]
    oldest = min([night.session, *sessions]) - _SETTLED_WITHIN
    rows = []
    for first, last, known_at in spans:
        unscored = read.unscored_totals(
            connection, *night.key, first=max(first, oldest), last=last, known_at=known_at
        )
        rows += scored_rows(unscored, scored_at=night.now())
    return rows


def _newest_instant(connection: connect.Connection, night: Night) -> datetime | None:
    """The instant of the fetch that a night without windows would use, else of the newest one."""
    try:
        fetch = input_fetch(connection, night.settings, night.session, stored=night.stored_fetch)
    except StoreError:  # its bar has not come
        return read.newest(connection, "fetches", "fetched_at", {"symbol": night.symbol})
    return fetch.fetched_at
