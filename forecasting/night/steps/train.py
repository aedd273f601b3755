"""Fit each night's challenger: choose how, fit, keep weights and lineage."""

import logging
import time
from dataclasses import replace

from forecasting.errors import NUMERICAL_ERRORS, ArtifactError
from forecasting.evaluate.decisions import ChainFacts, ModeChoice, changed_inputs, choose_mode
from forecasting.evaluate.drift import DRIFT_ORIGINS, drift_reason
from forecasting.night.folders import ARTIFACTS, child_folder, network_id
from forecasting.night.models import load_model
from forecasting.night.night import Night
from forecasting.night.run_log import add_notes, model_row
from forecasting.night.steps.preprocess import check_same_market, market_of_champion, past_losses
from forecasting.predict import fallback
from forecasting.preprocess.windows import Windows, load_windows
from forecasting.sessions import after
from forecasting.store import connect, read, write
from forecasting.store.frames import Row
from forecasting.train.checkpoint import Checkpoint, save
from forecasting.train.fit import check_parent, fit_scratch, fit_warm
from forecasting.train.gate import examine
from forecasting.train.pretrained import pretrained_for
from forecasting.vocabulary import LSTM, RANDOM

logger = logging.getLogger("forecasting.train")

_NEVER = 10**6  # sessions since the newest fit from scratch, where there was none


def fit_challenger(night: Night) -> Night:
    """The night with its challenger.

    One that was killed after its fit finds its model again and fits none.
    """
    with connect.reading(night.url) as connection:
        if (fitted := read.row(connection, "models", night.columns)) is not None:
            return _with_challenger(night, fitted)
        champion = read.champion(connection, *night.key, session=night.session)
        facts = _facts(connection, night, champion) if champion is not None else None
        fitted_with = market_of_champion(connection, night)
    windows = load_windows(night.windows)
    choice, parent = _choose(
        night,
        champion,
        facts,
        windows,
        fitted_with=fitted_with,
    )
    logger.info(
        "mode %s for %s at %s: %s",
        choice.method,
        night.series,
        night.session,
        choice.reason,
    )
    model = None
    notes = {"no_model": "", "refused": ""}
    if choice.method != "skip":
        try:
            model = _fit_and_save(
                night,
                windows,
                method=choice.method,
                parent=parent,
            )
            if champion is not None and choice.method == "warm":
                model["parent_id"] = champion["id"]
            if model["refused"]:
                notes["refused"] = f"The gate refused the fit {model['id']}: {model['refused']}."
        except NUMERICAL_ERRORS as error:
            logger.warning(
                "no model of %s at %s: %s",
                night.series,
                night.session,
                error,
            )
            notes["no_model"] = f"No model was fitted: {error}"
    with connect.transaction(night.url) as connection:
        # Also of a fit that failed, so that its run shows what was tried.
        chosen = {"mode": choice.method, "mode_kind": choice.kind, "mode_reason": choice.reason}
        write.update(
            connection,
            "runs",
            night.id,
            chosen,
        )
        add_notes(connection, night.id, notes)
        if model is not None:
            write.add(connection, "models", model)
    return _with_challenger(night, model)


def _with_challenger(night: Night, model: Row | None) -> Night:
    if model is None or model["refused"]:
        return night
    return replace(night, challenger=model["id"])


def _facts(connection: connect.Connection, night: Night, champion: Row) -> ChainFacts:
    newest = read.newest_scratch(connection, *night.key, session=night.session)
    since = _NEVER
    if newest is not None:
        since = len(after(newest, night.session, night.exchange))
    drift = ""
    # The charts read hundreds of scored origins, and only a free choice of mode needs them
    if night.mode == "auto":
        losses = past_losses(connection, night, origins=DRIFT_ORIGINS)
        drift = drift_reason(losses, newest_scratch=newest)
    return ChainFacts(since, champion["chain_epochs"], drift)


def _choose(
    night: Night,
    champion: Row | None,
    facts: ChainFacts | None,
    windows: Windows,
    *,
    fitted_with: str,
) -> tuple[ModeChoice, Checkpoint | None]:
    """How to fit tonight's challenger, and why.

    And the champion that it continues, if that one can be continued.
    """
    if windows.is_young:
        return ModeChoice("skip", "young", fallback.history_text(len(windows.steps))), None
    parent = None
    if champion is not None and facts is not None:
        try:
            parent = load_model(champion, night.settings)
            check_parent(parent, night.settings)
            check_same_market(parent.card, fitted_with, night)
            facts = replace(facts, changed=changed_inputs(parent.card, windows))
        except ArtifactError as error:
            if night.mode == "warm":
                raise
            parent = None
            facts = replace(facts, damage=str(error))
    return choose_mode(night.mode, facts, scratch_every=night.settings.scratch_every), parent


def _fit_and_save(night: Night, windows: Windows, *, method: str, parent: Checkpoint | None) -> Row:
    """Fit, write the artifact, return the row.

    A kill before the row leaves a folder, which the next run deletes.
    """
    settings = night.settings
    model_id = network_id(night.id, method)
    started = time.perf_counter()
    if method == "warm" and parent is not None:
        fitted = fit_warm(windows, parent, settings=settings)
    else:
        fitted = fit_scratch(windows, settings=settings, pretrained=pretrained_for(windows))
    verdict = examine(fitted, windows, champion=parent)
    if verdict.refused:
        logger.warning("the gate refused tonight's fit of %s: %s", night.symbol, verdict.refused)
    seconds = round(time.perf_counter() - started, 3)
    sha256 = save(fitted, child_folder(settings.data_dir.absolute() / ARTIFACTS, model_id))
    card = fitted.card
    logger.info(
        "fitted model %s (%s) in %.1f s",
        model_id,
        method,
        seconds,
    )
    return model_row(night) | {
        "id": model_id,
        "name": LSTM,
        "version": str(card.architecture),
        "method": method,
        "base": card.base or RANDOM,
        "scope": "panel" if card.base else "symbol",
        "fetch_id": night.fetch_id,
        "run_id": night.id,
        "trained_from": card.trained_from,
        "trained_to": card.trained_to,
        "epochs": card.epochs,
        "chain_epochs": card.chain_epochs,
        "seconds": seconds,
        "artifact_path": f"{ARTIFACTS}/{model_id}",
        "artifact_hash": sha256,
        "refused": verdict.refused,
        "gate": verdict.compared,
        "created_at": night.now(),
    }
