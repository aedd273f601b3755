"""Score every forecast whose session has closed and decide who is champion from now on, from the store alone."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import pandas as pd

from forecasting.evaluate.decisions import decide
from forecasting.evaluate.scores import score_rows
from forecasting.pipeline.models import why_not_runnable
from forecasting.pipeline.night import Night
from forecasting.pipeline.publish import publish_page
from forecasting.pipeline.run_log import close, delete_files_of, mark_stopped
from forecasting.pipeline.snapshot import data_as_of
from forecasting.store import connect, read, write
from forecasting.store.connect import Connection
from forecasting.store.frames import Row
from forecasting.vocabulary import CHALLENGER, CHAMPION, short_id

logger = logging.getLogger("forecasting.evaluate")

HINDCASTS = "hindcasts"
"""Value of column `compared` of table promotions: both models run by the gate over the same closed origins."""


@dataclass(frozen=True)
class Evidence:
    """What the store holds before the night is scored.

    Attributes:
        unscored: Forecasts whose bar is stored and that are not yet scored against it.
        champion: Its row in `models`; None when there is none.
        challenger: Tonight's, when there is something to decide; else None.
        later: Unscored forecasts of sessions after the night's, as of a past night whose bars are stored already: they
            are scored with it, and nothing is decided on them; None on the newest night.
    """

    unscored: pd.DataFrame
    champion: Row | None
    challenger: Row | None
    later: pd.DataFrame | None = None


def evaluate(nights: Sequence[Night]) -> list[Night]:
    """Each night with its closed sessions scored, its decision and its page written, and its row closed.

    A night that failed is scored too, since that needs the store alone, on what was fetched last; it decides nothing,
    so that its forecasts, once it is run again, are of the champion that it began with.
    """
    done = [night.then("evaluate", score_decide_publish).then("evaluate", close) for night in nights]
    delete_files_of(done)
    for night in done:
        if night.error is None:
            continue
        mark_stopped(night, night.error)
        scored = replace(night, windows=None, error=None).then("evaluate", score_and_decide)
        if scored.error is not None:  # beside the error that stopped the night, which is its outcome
            logger.error("%s %s: its closed sessions were not scored: %s", night.symbol, night.session, scored.error)
    return done


def score_decide_publish(night: Night) -> Night:
    """The night with its page; what cannot be scored has no page either."""
    return publish_page(score_and_decide(night))


def score_and_decide(night: Night) -> Night:
    """The night, its scores and its promotion written; without windows nothing is decided.

    Raises:
        StoreError: No bar was ever fetched.
    """
    with connect.reading(night.settings.url) as connection:
        evidence = read_evidence(connection, night)
    at, target = night.now(), night.target
    scores = score_rows(evidence.unscored, target=target, scored_at=at)
    if evidence.later is not None:
        scores += score_rows(evidence.later, target=target, scored_at=at)
    decision = None if evidence.challenger is None else promotion(night, evidence)
    with connect.transaction(night.settings.url) as connection:
        added = write.add_scores(connection, scores)
        newest = max((row["target_session"] for row in scores), default=night.session)
        logger.info("scored %d forecasts of %s up to %s", added, night.symbol, newest)
        if decision is not None:
            write.add_promotion(connection, decision)
            winner, reason = decision["winner"], decision["reason"]
            logger.info("champion of %s from now on: %s (%s)", night.symbol, winner, reason)
    return night


def read_evidence(connection: Connection, night: Night) -> Evidence:
    """What the night is scored and decided on, as known when its bars were fetched."""
    symbol, target, session = night.symbol, night.target, night.session
    known_at = night.data_as_of if night.windows is not None else data_as_of(connection, night)
    unscored = read.unscored_forecasts(connection, symbol, target, last=session, known_at=known_at)
    champion = read.champion(connection, symbol, target, session=session)
    challenger = None if night.windows is None else read.model_of_run(connection, night.id)
    if champion is not None and challenger is not None and champion["id"] == challenger["id"]:
        challenger = None  # decided before a kill
    return Evidence(unscored, champion, challenger, _read_later(connection, night))


def _read_later(connection: Connection, night: Night) -> pd.DataFrame | None:
    symbol, target, session = night.symbol, night.target, night.session
    newest = read.newest_session(connection, symbol)
    if newest is None or newest <= session:
        return None
    unscored = read.unscored_forecasts(connection, symbol, target, last=newest)
    return unscored[unscored["target_session"] > pd.Timestamp(session)]


def promotion(night: Night, evidence: Evidence) -> Row | None:
    """The row of table promotions that tonight's challenger leads to; None where there is still no champion."""
    champion, challenger = evidence.champion, evidence.challenger or {}
    refused = challenger["refused"]
    damage = "" if refused else why_not_runnable(challenger, night.settings)
    role, reason = decide(
        has_champion=champion is not None, method=challenger["method"], refused=refused, damage=damage
    )
    winner = {CHALLENGER: challenger, CHAMPION: champion, None: None}[role]
    if winner is None:
        logger.warning("%s of %s", reason, night.symbol)
        return None
    compared = json.loads(challenger["gate"]) if challenger["gate"] else {}
    return {
        "id": short_id("promotion", night.id),
        "symbol": night.symbol,
        "target": night.target,
        "session": night.session,
        "champion": champion["id"] if champion else None,
        "challenger": challenger["id"],
        "winner": winner["id"],
        "champion_pinball": compared.get("champion"),
        "challenger_pinball": compared.get("challenger"),
        "origins": compared.get("origins", 0),
        "first_origin": date.fromisoformat(compared["first"]) if compared else None,
        "last_origin": date.fromisoformat(compared["last"]) if compared else None,
        "compared": HINDCASTS if compared else "",
        "reason": reason,
        "trigger": "night",
        "decided_at": night.now(),
        "run_id": night.id,
    }
