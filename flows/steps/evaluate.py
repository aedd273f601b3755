"""Score every forecast whose session has closed, decide who speaks next, publish; all of it from the store alone."""

import logging

from flows import clock
from flows.night import Night, clear_run_folder, report_path, short_id
from flows.steps.prune import prune_artifacts
from flows.steps.report import report_night, write_page
from forecasting.evaluate.promotion import decide
from forecasting.evaluate.scores import score_rows
from forecasting.sessions import between
from forecasting.settings import Settings
from forecasting.store import database, lineage, reads, record, writes
from forecasting.store.database import Connection

logger = logging.getLogger("forecasting.evaluate")

EVIDENCE_ORIGINS = 120
"""Newest scored origins that a promotion looks at: half a year, long enough to test, short enough to be about now."""


def score_and_decide(night: Night, settings: Settings) -> int:
    """Scores and the promotion in one transaction; the number of scores added."""
    with database.transaction(settings.url) as connection:
        due = reads.due_scores(connection, night.symbol, night.target, last=night.session)
        added = writes.add_scores(connection, score_rows(due, target=night.target, scored_at=clock.now()))
        decide_champion(connection, night, settings)
    logger.info("scored %d forecasts of %s up to %s", added, night.symbol, night.session)
    return added


def decide_champion(connection: Connection, night: Night, settings: Settings) -> None:
    """Put tonight's challenger to the test against the champion, and keep the decision with its figures."""
    run_id = night.run_id(settings)
    challenger = lineage.model_of_run(connection, run_id)
    if challenger is None:
        return
    champion = reads.champion(connection, night.symbol, night.target)
    if champion is not None and champion["id"] == challenger["id"]:
        return  # decided before a kill
    lines = record.scored_lines(connection, night.symbol, night.target, last=night.session, origins=EVIDENCE_ORIGINS)
    age = len(between(champion["trained_to"], night.session, settings.exchange)) - 1 if champion else None
    decision = decide(lines, champion_age=age, max_age=settings.max_model_age)
    winner = challenger["id"] if decision.winner == "challenger" or champion is None else champion["id"]
    writes.add_promotion(
        connection,
        {
            "id": short_id("promotion", run_id, challenger["id"]),
            "symbol": night.symbol,
            "target": night.target,
            "session": night.session,
            "champion": champion["id"] if champion else None,
            "challenger": challenger["id"],
            "winner": winner,
            "best_baseline": decision.best_baseline,
            "champion_pinball": decision.champion_pinball,
            "challenger_pinball": decision.challenger_pinball,
            "baseline_pinball": decision.baseline_pinball,
            "p_value": decision.p_value,
            "origins": decision.origins,
            "reason": decision.reason,
            "trigger": "night",
            "decided_at": clock.now(),
            "run_id": run_id,
        },
    )
    logger.info("champion of %s from now on: %s (%s)", night.symbol, winner, decision.reason)


def publish(night: Night, settings: Settings) -> None:
    """Write the report page and, on a Prefect run, its artifacts."""
    from flows.artifacts import publish_artifacts

    with database.reading(settings.url) as connection:
        shown = report_night(connection, night.symbol, night.target, exchange=settings.exchange)
    path = write_page(shown, report_path(settings, night.symbol, night.target))
    publish_artifacts(shown, path)


def close_night(night: Night, settings: Settings) -> None:
    """Mark the night done; from here on, running it again adds nothing."""
    with database.transaction(settings.url) as connection:
        writes.update_run(connection, night.run_id(settings), {"status": "done", "finished_at": clock.now()})
    clear_run_folder(settings, night.run_id(settings))
    prune_artifacts(night, settings)
