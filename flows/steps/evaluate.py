"""Score every forecast whose session has closed, decide who speaks next, publish; all of it from the store alone."""

import logging
import shutil
from typing import Any

import pandas as pd

from flows import clock
from flows.night import Night, report_path, run_folder, short_id
from flows.steps.known import known_at
from flows.steps.prune import forget_spare, remove_forgotten
from flows.steps.report import report_night, write_page
from flows.steps.train import why_not_runnable
from forecasting.evaluate.promotion import CHALLENGER, Decision, decide
from forecasting.evaluate.scores import score_rows
from forecasting.sessions import between
from forecasting.settings import Settings
from forecasting.store import database, lineage, reads, record, writes
from forecasting.store.database import Connection
from forecasting.store.due import due_scores

logger = logging.getLogger("forecasting.evaluate")

Record = dict[str, Any]

EVIDENCE_ORIGINS = 120
"""Newest scored origins that a promotion looks at: half a year, long enough to test, short enough to be about now."""


def score_and_decide(night: Night, settings: Settings) -> int:
    """Scores and the promotion in one transaction; the number of scores added."""
    with database.transaction(settings.url) as connection:
        then = known_at(connection, night, settings)
        due = due_scores(connection, night.symbol, night.target, last=night.session, known_at=then)
        added = writes.add_scores(connection, score_rows(due, target=night.target, scored_at=clock.now()))
        decide_champion(connection, night, settings)
    logger.info("scored %d forecasts of %s up to %s", added, night.symbol, night.session)
    return added


def decide_champion(connection: Connection, night: Night, settings: Settings) -> None:
    """Put tonight's challenger to the test against the champion, and keep the decision with its figures.

    Whoever cannot be loaded and run does not win, whatever the figures say.
    """
    run_id = night.run_id(settings)
    challenger = lineage.model_of_run(connection, run_id)
    if challenger is None:
        return
    champion = reads.champion(connection, night.symbol, night.target, session=night.session)
    if champion is not None and champion["id"] == challenger["id"]:
        return  # decided before a kill
    decision = contest(connection, night, settings, champion=champion)
    reason, winner = decision.reason, challenger if decision.winner == "challenger" else champion
    trouble = why_not_runnable(challenger, settings) if winner is challenger else ""
    if trouble:
        winner, reason = champion, f"refused, the champion stays: {trouble} But for that: {reason}"
    if winner is None:
        logger.warning("there is still no champion of %s: %s", night.symbol, trouble)
        return
    ids = {"champion": champion["id"] if champion else None, "challenger": challenger["id"], "winner": winner["id"]}
    writes.add_promotion(connection, promotion_row(night, run_id, decision) | ids | {"reason": reason})
    logger.info("champion of %s from now on: %s (%s)", night.symbol, winner["id"], reason)


def contest(connection: Connection, night: Night, settings: Settings, *, champion: Record | None) -> Decision:
    """Who won by the scores that the night knows, challengers of tonight's settings alone."""
    lines = record.scored_lines(
        connection,
        night.symbol,
        night.target,
        last=night.session,
        origins=EVIDENCE_ORIGINS,
        known_at=known_at(connection, night, settings),
    )
    nights = lineage.nights_under(connection, night.symbol, night.target, settings_hash=settings.hash)
    of_other_settings = (lines["line"] == CHALLENGER) & ~lines["origin_session"].isin(pd.to_datetime(sorted(nights)))
    return decide(
        lines[~of_other_settings],
        champion_age=len(between(champion["trained_to"], night.session, settings.exchange)) - 1 if champion else None,
        max_age=settings.max_model_age,
        champion_trouble=why_not_runnable(champion, settings) if champion else "",
    )


def promotion_row(night: Night, run_id: str, decision: Decision) -> Record:
    """The row in `promotions` of a decision, but for who they were and the reason."""
    return {
        "id": short_id("promotion", run_id),
        "symbol": night.symbol,
        "target": night.target,
        "session": night.session,
        "best_baseline": decision.best_baseline,
        "champion_pinball": decision.champion_pinball,
        "challenger_pinball": decision.challenger_pinball,
        "baseline_pinball": decision.baseline_pinball,
        "p_value": decision.p_value,
        "origins": decision.origins,
        "trigger": "night",
        "decided_at": clock.now(),
        "run_id": run_id,
    }


def publish(night: Night, settings: Settings) -> None:
    """Write the report page and, on a Prefect run, its artifacts."""
    from flows.artifacts import publish_artifacts

    with database.reading(settings.url) as connection:
        shown = report_night(connection, night.symbol, night.target, exchange=settings.exchange)
    path = write_page(shown, report_path(settings, night.symbol, night.target))
    publish_artifacts(shown, path)


def close_night(night: Night, settings: Settings) -> None:
    """Mark the night done and forget spare weights in one transaction; running the night again then adds nothing."""
    done = {"status": "done", "finished_at": clock.now(), "error": None}  # of an attempt before this one
    with database.transaction(settings.url) as connection:
        forget_spare(connection, night, settings)
        writes.update_run(connection, night.run_id(settings), done)
    clear_run_folders(night, settings)
    remove_forgotten(night, settings)


def clear_run_folders(night: Night, settings: Settings) -> None:
    """Remove the windows of every finished run, of one killed before it got here too: the bars make them again."""
    folder = run_folder(settings, night.run_id(settings)).parent
    found = list(folder.iterdir()) if folder.exists() else []
    with database.reading(settings.url) as connection:
        rows = [(path, reads.run(connection, path.name)) for path in found]
    for path, row in rows:
        if row is not None and row["status"] == "done":
            shutil.rmtree(path, ignore_errors=True)
