"""Score every forecast whose session has closed, and decide who is champion from now on."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial

import pandas as pd

from forecasting.errors import StoreError
from forecasting.evaluate.decisions import decide
from forecasting.evaluate.scores import score_rows, scored_rows
from forecasting.night.night import Night
from forecasting.night.run_log import close, delete_files_of, mark_stopped
from forecasting.night.steps.preprocess import input_fetch
from forecasting.store import connect, read, write
from forecasting.store.frames import Row
from forecasting.targets import TARGETS
from forecasting.vocabulary import short_id

logger = logging.getLogger("forecasting.evaluate")


def unpublished(night: Night) -> Night:
    """The night itself: nothing is shown of it, as where the past is run again."""
    return night


def evaluate(
    nights: Sequence[Night], publish: Callable[[Night], Night] = unpublished
) -> list[Night]:
    """Each night with its closed sessions scored, decided, published, and its row closed.

    A night that failed is scored too, since that needs the store alone, on what was fetched last;
    it decides nothing, so that its forecasts, once it is run again, are of the champion that it
    began with.
    """
    done = [
        night.then("evaluate", score_and_decide).then("evaluate", publish).then("evaluate", close)
        for night in nights
    ]
    delete_files_of(done)
    for night in done:
        if night.error is None:
            continue
        mark_stopped(night)
        scored = replace(night, data_as_of=None, error=None).then("evaluate", score_and_decide)
        # Beside the error that stopped the night, which is its outcome
        if scored.error is not None:
            logger.error(
                "%s %s: its closed sessions were not scored: %s",
                night.series,
                night.session,
                scored.error,
            )
    return done


def score_and_decide(night: Night) -> Night:
    """The night, its scores and its promotion written; without windows nothing is decided."""
    with connect.reading(night.url) as connection:
        known_at = night.data_as_of or _newest_instant(connection, night)
        scores = _scores(connection, night, known_at)
        champion = read.champion(connection, *night.key, session=night.session)
        challenger = read.row(connection, "models", night.columns) if night.data_as_of else None
    decision = None
    # The fit that is champion was decided on before.
    if challenger is not None and (champion is None or challenger["id"] != champion["id"]):
        decision = _promotion(night, champion, challenger)
    with connect.transaction(night.url) as connection:
        added = write.add_scores(connection, scores)
        write.add(
            connection,
            "total_scores",
            *_total_scores(
                connection,
                night,
                known_at,
                scores,
            ),
        )
        logger.info("scored %d forecasts of %s", added, night.series)
        if decision is not None:
            write.add(connection, "promotions", decision)
            winner = f"{decision['winner']} ({decision['reason']})"
            logger.info("champion of %s from now on: %s", night.series, winner)
    return night


def _scores(connection: connect.Connection, night: Night, known_at: datetime | None) -> list[Row]:
    """The scores of forecasts whose session has closed, by the bars of the night's fetch.

    With a night of the past, forecasts whose sessions have closed since are scored by the bars of
    now; nothing is decided on them.
    """
    session = night.session
    unscored = partial(read.unscored_forecasts, connection, *night.key)
    scored = partial(score_rows, target=night.target, scored_at=night.now())
    scores = scored(unscored(last=session, known_at=known_at))
    newest = read.newest(
        connection,
        "bar_versions",
        "session",
        {"symbol": night.symbol},
    )
    if newest is not None and newest > session:
        later = unscored(last=newest)
        scores += scored(later[later["target_session"] > pd.Timestamp(session)])
    return scores


def _total_scores(
    connection: connect.Connection, night: Night, known_at: datetime | None, scores: Sequence[Row]
) -> list[Row]:
    """The scores of totals that these scores complete, by bars as of `_scores`."""
    if not scores or not TARGETS[night.target].has_totals:
        return []
    sessions = [row["target_session"] for row in scores]
    totals = partial(
        read.closed_totals,
        connection,
        *night.key,
        first=min(sessions),
    )
    closed = totals(known_at=known_at)
    closed = closed[closed["target_session"] <= night.session]
    if max(sessions) > night.session:
        later = totals()
        closed = pd.concat([closed, later[later["target_session"] > night.session]])
    return scored_rows(closed, scored_at=night.now())


def _newest_instant(connection: connect.Connection, night: Night) -> datetime | None:
    """The instant of the fetch that a night without windows would use, else of the newest one."""
    try:
        fetch = input_fetch(
            connection,
            night.settings,
            night.session,
            stored=night.stored_fetch,
        )
    except StoreError:  # its bar has not come
        return read.newest(
            connection,
            "fetches",
            "fetched_at",
            {"symbol": night.symbol},
        )
    return fetch["fetched_at"]


def _promotion(night: Night, champion: Row | None, challenger: Row) -> Row | None:
    """The row of table promotions that tonight's challenger leads to.

    None where there is still no champion.
    """
    takes_over, reason = decide(
        has_champion=champion is not None,
        method=challenger["method"],
        refused=challenger["refused"],
    )
    if (winner := challenger if takes_over else champion) is None:
        logger.warning("%s of %s", reason, night.symbol)
        return None
    compared = json.loads(challenger["gate"]) if challenger["gate"] else {}
    row = night.columns | {
        "id": short_id("promotion", night.id),
        "session": night.session,
        "trigger": "night",
        "champion": champion and champion["id"],
        "challenger": challenger["id"],
        "winner": winner["id"],
        "reason": reason,
        "decided_at": night.now(),
        "origins": compared.get("origins", 0),
    }
    if not compared:
        return row
    # Both models were run by the gate over the same closed origins
    return row | {
        "champion_pinball": compared["champion"],
        "challenger_pinball": compared["challenger"],
        "first_origin": date.fromisoformat(compared["first"]),
        "last_origin": date.fromisoformat(compared["last"]),
        "compared": "hindcasts",
    }
