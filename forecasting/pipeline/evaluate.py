"""Score every forecast whose session has closed and decide who is champion from now on, from the store alone."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from forecasting.evaluate.promotion import Facts, decide
from forecasting.evaluate.scores import score_rows
from forecasting.ids import short_id
from forecasting.pipeline import shard
from forecasting.pipeline.night_run import NightInputs, NightRun
from forecasting.pipeline.registry import why_not_runnable
from forecasting.pipeline.shard import Outcome
from forecasting.pipeline.snapshot import data_as_of
from forecasting.store import read, writes
from forecasting.store.database import Connection
from forecasting.store.frames import Row
from forecasting.vocabulary import CHALLENGER, CHAMPION

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


@dataclass(frozen=True)
class _Evaluated:
    scores: list[Row]
    promotion: Row | None


def score_and_decide(runs: Sequence[NightRun], inputs: Sequence[NightInputs | None]) -> list[Outcome[int]]:
    """The number of scores added for each night, its promotion written with them.

    A night without inputs is one that could not forecast: it is scored on what was fetched last and decides nothing,
    so that its forecasts, once it is run again, are of the champion that it began with. An outcome's error is a
    StoreError where no bar was ever fetched.
    """
    stored = shard.read_each(shard.given(runs, inputs), read_evidence)
    evaluated = shard.compute_each(stored, _evaluate)
    return shard.write_each(evaluated, _write)


def read_evidence(connection: Connection, run: NightRun, inputs: NightInputs | None) -> Evidence:
    """What the night is scored and decided on, as known when its bars were fetched."""
    symbol, target, session = run.spec.symbol, run.spec.target, run.spec.session
    known_at = inputs.data_as_of if inputs is not None else data_as_of(connection, run)
    unscored = read.unscored_forecasts(connection, symbol, target, last=session, known_at=known_at)
    champion = read.champion(connection, symbol, target, session=session)
    challenger = None if inputs is None else read.model_of_run(connection, run.id)
    if champion is not None and challenger is not None and champion["id"] == challenger["id"]:
        challenger = None  # decided before a kill
    return Evidence(unscored, champion, challenger, _read_later(connection, run))


def _read_later(connection: Connection, run: NightRun) -> pd.DataFrame | None:
    symbol, target, session = run.spec.symbol, run.spec.target, run.spec.session
    newest = read.newest_session(connection, symbol)
    if newest is None or newest <= session:
        return None
    unscored = read.unscored_forecasts(connection, symbol, target, last=newest)
    return unscored[unscored["target_session"] > pd.Timestamp(session)]


def _evaluate(run: NightRun, evidence: Evidence) -> _Evaluated:
    at, target = run.now(), run.spec.target
    scores = score_rows(evidence.unscored, target=target, scored_at=at)
    later = [] if evidence.later is None else score_rows(evidence.later, target=target, scored_at=at)
    return _Evaluated([*scores, *later], None if evidence.challenger is None else promotion(run, evidence))


def promotion(run: NightRun, evidence: Evidence) -> Row | None:
    """The row of table promotions that tonight's challenger leads to; None where there is still no champion."""
    champion, challenger = evidence.champion, evidence.challenger or {}
    refused = challenger["refused"]
    damage = "" if refused else why_not_runnable(challenger, run.settings)
    decision = decide(Facts(champion is not None, challenger["method"], refused, damage))
    winner = {CHALLENGER: challenger, CHAMPION: champion, None: None}[decision.winner]
    if winner is None:
        logger.warning("%s of %s", decision.reason, run.spec.symbol)
        return None
    compared = json.loads(challenger["gate"]) if challenger["gate"] else {}
    return {
        "id": short_id("promotion", run.id),
        "symbol": run.spec.symbol,
        "target": run.spec.target,
        "session": run.spec.session,
        "champion": champion["id"] if champion else None,
        "challenger": challenger["id"],
        "winner": winner["id"],
        "champion_pinball": compared.get("champion"),
        "challenger_pinball": compared.get("challenger"),
        "origins": compared.get("origins", 0),
        "first_origin": date.fromisoformat(compared["first"]) if compared else None,
        "last_origin": date.fromisoformat(compared["last"]) if compared else None,
        "compared": HINDCASTS if compared else "",
        "reason": decision.reason,
        "trigger": "night",
        "decided_at": run.now(),
        "run_id": run.id,
    }


def _write(connection: Connection, run: NightRun, evaluated: _Evaluated) -> int:
    added = writes.add_scores(connection, evaluated.scores)
    newest = max((row["target_session"] for row in evaluated.scores), default=run.spec.session)
    logger.info("scored %d forecasts of %s up to %s", added, run.spec.symbol, newest)
    if evaluated.promotion is not None:
        writes.add_promotion(connection, evaluated.promotion)
        winner, reason = evaluated.promotion["winner"], evaluated.promotion["reason"]
        logger.info("champion of %s from now on: %s (%s)", run.spec.symbol, winner, reason)
    return added
