"""Score every forecast whose session has closed and decide who is champion from now on, from the store alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from forecasting.errors import ArtifactError
from forecasting.evaluate.evidence import SCORE_COLUMNS, forecaster_losses
from forecasting.evaluate.promotion import Decision, decide, only_of_nights
from forecasting.evaluate.scores import score_rows
from forecasting.ids import short_id
from forecasting.pipeline import shard
from forecasting.pipeline.night_run import NightInputs, NightRun
from forecasting.pipeline.registry import load_model, why_not_runnable
from forecasting.pipeline.shard import Outcome
from forecasting.pipeline.snapshot import data_as_of
from forecasting.sessions import between
from forecasting.settings import Settings
from forecasting.store import read, writes
from forecasting.store.database import Connection
from forecasting.store.frames import Row
from forecasting.vocabulary import CHALLENGER

logger = logging.getLogger("forecasting.evaluate")


EVIDENCE_ORIGINS = 120
"""Newest scored origins that a promotion looks at: half a year, long enough to test, short enough to be about now."""


@dataclass(frozen=True)
class Evidence:
    """What the store holds before the night is scored.

    Attributes:
        unscored: Forecasts whose bar is stored and that are not yet scored against it.
        champion: Its row in `models`; None when there is none.
        challenger: Tonight's, when there is something to decide; else None.
        scores: Stored scores of the newest origins; None when there is nothing to decide.
        nights: Sessions of the nights under tonight's settings.
        later: Unscored forecasts of sessions after the night's, as of a past night whose bars are stored already: they
            are scored with it, and nothing is decided on them; None on the newest night.
    """

    unscored: pd.DataFrame
    champion: Row | None
    challenger: Row | None
    scores: pd.DataFrame | None
    nights: set[date]
    later: pd.DataFrame | None = None


@dataclass(frozen=True)
class _Evaluated:
    scores: list[Row]
    promotion: Row | None


def score_and_decide(runs: Sequence[NightRun], inputs: Sequence[NightInputs | None]) -> list[Outcome[int]]:
    """The number of scores added for each night, its promotion written with them.

    A night without inputs is one that could not forecast: it is scored on what was fetched last. An outcome's error is
    a StoreError where no bar was ever fetched.
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
    challenger = read.model_of_run(connection, run.id)
    if challenger is None or (champion is not None and champion["id"] == challenger["id"]):  # decided before a kill
        return Evidence(unscored, champion, None, None, set(), _read_later(connection, run))
    scores = read.newest_scores(connection, symbol, target, last=session, origins=EVIDENCE_ORIGINS, known_at=known_at)
    nights = read.nights_under(connection, symbol, target, settings_hash=run.settings.hash)
    return Evidence(unscored, champion, challenger, scores, nights, _read_later(connection, run))


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
    if evidence.challenger is None or evidence.scores is None:
        return _Evaluated([*scores, *later], None)
    return _Evaluated([*scores, *later], promotion(run, evidence, scores))


def promotion(run: NightRun, evidence: Evidence, scores: Sequence[Row]) -> Row | None:
    """The row of table promotions that tonight's challenger leads to; None where there is still no champion.

    A model that cannot be loaded and run never wins.

    Args:
        run: The night.
        evidence: What is stored.
        scores: Tonight's, which count as those stored.
    """
    champion, challenger = evidence.champion, evidence.challenger or {}
    decision = _compare_with_champion(run, evidence, scores)
    reason, winner = decision.reason, challenger if decision.winner == CHALLENGER else champion
    obstacle = why_not_runnable(challenger, run.settings) if winner is challenger else ""
    if obstacle:
        winner, reason = champion, f"refused, the champion stays: {obstacle} But for that: {reason}"
    if winner is None:
        logger.warning("there is still no champion of %s: %s", run.spec.symbol, obstacle)
        return None
    return {
        "id": short_id("promotion", run.id),
        "symbol": run.spec.symbol,
        "target": run.spec.target,
        "session": run.spec.session,
        "champion": champion["id"] if champion else None,
        "challenger": challenger["id"],
        "winner": winner["id"],
        "best_baseline": decision.best_baseline,
        "champion_pinball": decision.champion_pinball,
        "challenger_pinball": decision.challenger_pinball,
        "baseline_pinball": decision.baseline_pinball,
        "p_value": decision.p_value,
        "origins": decision.origins,
        "reason": reason,
        "trigger": "night",
        "decided_at": run.now(),
        "run_id": run.id,
    }


def _compare_with_champion(run: NightRun, evidence: Evidence, scores: Sequence[Row]) -> Decision:
    """The decision by the scores known at the night's fetch, of challengers under tonight's settings alone."""
    champion, settings = evidence.champion, run.settings
    losses = forecaster_losses(_with_tonight(evidence.scores, scores), origins=EVIDENCE_ORIGINS)
    return decide(
        only_of_nights(losses, evidence.nights),
        champion_age=len(between(champion["trained_to"], run.spec.session, settings.exchange)) - 1
        if champion
        else None,
        max_age=settings.max_model_age,
        champion_trouble=why_not_runnable(champion, settings) if champion else "",
        champion_outdated=_change_of_dates(champion, evidence.challenger or {}, settings) if champion else "",
    )


def _change_of_dates(champion: Row, challenger: Row, settings: Settings) -> str:
    """Why a champion fitted with earnings dates is outdated where the challenger had none, or the reverse; else empty.

    Empty too where one cannot be loaded, which has a reason of its own.
    """
    try:
        had, has = (load_model(model, settings).card.has_events for model in (champion, challenger))
    except ArtifactError:
        return ""
    if had == has:
        return ""
    return f"earnings dates have {'arrived' if has else 'vanished'} since the champion's chain of fits began"


def _with_tonight(stored: pd.DataFrame | None, scores: Sequence[Row]) -> pd.DataFrame:
    tonight = pd.DataFrame([{name: row[name] for name in SCORE_COLUMNS} for row in scores])
    if tonight.empty or stored is None:
        return pd.DataFrame(columns=list(SCORE_COLUMNS)) if stored is None else stored
    days = {name: pd.to_datetime(tonight[name]).dt.as_unit("ns") for name in ("origin_session", "target_session")}
    instants = pd.to_datetime(tonight["issued_at"], utc=True)
    tonight = tonight.assign(**days, issued_at=instants)
    return tonight if stored.empty else pd.concat([stored, tonight], ignore_index=True)


def _write(connection: Connection, run: NightRun, evaluated: _Evaluated) -> int:
    added = writes.add_scores(connection, evaluated.scores)
    newest = max((row["target_session"] for row in evaluated.scores), default=run.spec.session)
    logger.info("scored %d forecasts of %s up to %s", added, run.spec.symbol, newest)
    if evaluated.promotion is not None:
        writes.add_promotion(connection, evaluated.promotion)
        winner, reason = evaluated.promotion["winner"], evaluated.promotion["reason"]
        logger.info("champion of %s from now on: %s (%s)", run.spec.symbol, winner, reason)
    return added
