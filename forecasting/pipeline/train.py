"""Fit each night's challenger: choose how, fit, keep the weights as a file and the lineage as a row."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from forecasting.errors import NUMERICAL_ERRORS, ArtifactError
from forecasting.evaluate.drift import DRIFT_ORIGINS, drift_reason
from forecasting.pipeline import shard
from forecasting.pipeline.code_version import code_version
from forecasting.pipeline.companions import load_companions
from forecasting.pipeline.market import check_same_market
from forecasting.pipeline.night_run import NightInputs, NightRun, artifact_folder, network_id
from forecasting.pipeline.own_weights import own_weights
from forecasting.pipeline.past_losses import past_losses
from forecasting.pipeline.registry import load_model
from forecasting.pipeline.run_row import NO_MODEL, open_run
from forecasting.pipeline.shard import Outcome
from forecasting.preprocess.windows import Windows, load_windows
from forecasting.sessions import after
from forecasting.store import read, writes
from forecasting.store.database import Connection
from forecasting.store.frames import Row
from forecasting.train.checkpoint import Checkpoint, save
from forecasting.train.fit import check_parent, fit
from forecasting.train.gate import Verdict, examine
from forecasting.train.mode import ChainFacts, ModeChoice, choose_mode
from forecasting.train.pretrained import OwnWeights
from forecasting.train.starting_weights import fit_scratch
from forecasting.vocabulary import COMPANION_TRAINED, LSTM, RANDOM

logger = logging.getLogger("forecasting.train")


_NEVER = 10**6  # sessions since the newest fit from scratch, where there was none


@dataclass(frozen=True)
class _Stored:
    """What the store holds before the fit: tonight's model if it was fitted before a kill, the champion, its losses.

    And the user's own pretrained weights that had been made when the night's bars were fetched: a night that is run
    again later starts from no others. And the market series that the champion was fitted with.
    """

    fitted: Row | None
    champion: Row | None
    newest_scratch: date | None
    losses: pd.DataFrame | None
    own: list[Row]
    fitted_with: str


@dataclass(frozen=True)
class _Plan:
    """How tonight's challenger is fitted, and from what."""

    choice: ModeChoice
    windows: Windows
    champion: Row | None
    parent: Checkpoint | None
    own: list[OwnWeights]


@dataclass(frozen=True)
class _Fit:
    """The fit that was chosen, and its model row; without a choice the model that is there already.

    A fit that the numbers do not allow has no row. The note has the reason for that, or for a refusal by the gate.
    """

    choice: ModeChoice | None
    model: Outcome[Row | None]
    note: str = ""


def fit_challengers(runs: Sequence[NightRun], inputs: Sequence[NightInputs]) -> list[Outcome[str]]:
    """The model id of each night's challenger, or an empty text where the night fits none that passes the gate.

    An outcome's error is an ArtifactError where a warm fit was asked for and the champion's weights cannot be used. A
    night killed after its fit finds its model again and fits none. A fit that the numbers do not allow is none either:
    the run's note has the reason, and the night goes on.
    """
    stored = shard.read_each(shard.given(runs, inputs), _read)
    known = dict(zip([run.id for run in runs], inputs, strict=True))
    fitted = shard.compute_each(stored, lambda run, one: _fit_or_find(run, one, known[run.id]))
    written = shard.write_each(fitted, _write)
    return shard.compute_each(written, lambda run, model: _model_id(model))


def _read(connection: Connection, run: NightRun, inputs: NightInputs) -> _Stored:
    symbol, target, session = run.spec.symbol, run.spec.target, run.spec.session
    fitted = read.model_of_run(connection, run.id)
    champion = read.champion(connection, symbol, target, session=session)
    losses = None
    # The charts read hundreds of scored origins, and only a free choice of mode needs them.
    if run.spec.mode == "auto" and fitted is None and champion is not None:
        losses = past_losses(connection, run, origins=DRIFT_ORIGINS)
    own = read.pretrained_by(connection, target, known_at=inputs.data_as_of)
    newest_scratch = read.newest_scratch(connection, symbol, target, session=session)
    fitted_with = read.market_of_run(connection, champion["run_id"]) if champion else ""
    return _Stored(fitted, champion, newest_scratch, losses, own, fitted_with)


def _fit_or_find(run: NightRun, stored: _Stored, inputs: NightInputs) -> _Fit:
    if stored.fitted is not None:
        return _Fit(None, Outcome(run, stored.fitted))
    plan = _plan_fit(run, stored, load_windows(Path(inputs.windows_path)))
    logger.info("mode %s for %s at %s: %s", plan.choice.method, run.spec.symbol, run.spec.session, plan.choice.reason)
    if plan.choice.method == "skip":
        return _Fit(plan.choice, Outcome(run, None))
    fitted: Outcome[Row | None] = shard.attempt(run, lambda: _fit_and_save(run, plan, inputs))
    if fitted.value and fitted.value["refused"]:
        return _Fit(plan.choice, fitted, f"The gate refused the fit {fitted.value['id']}: {fitted.value['refused']}.")
    if isinstance(fitted.error, NUMERICAL_ERRORS):
        logger.warning("no model of %s at %s: %s", run.spec.symbol, run.spec.session, fitted.error)
        return _Fit(plan.choice, Outcome(run, None), f"{NO_MODEL}{fitted.error}")
    return _Fit(plan.choice, fitted)


def _plan_fit(run: NightRun, stored: _Stored, windows: Windows) -> _Plan:
    """How to fit tonight's challenger, and why.

    A champion with another number of members, another market series or of other code is none to continue from: then
    the fit is from scratch.

    Raises:
        ArtifactError: A warm fit was asked for and the champion's weights cannot be used.
    """
    champion, settings = stored.champion, run.settings
    own = own_weights(stored.own, settings)
    if champion is None:
        return _Plan(choose_mode(run.spec.mode, None, scratch_every=settings.scratch_every), windows, None, None, own)
    since = _NEVER
    if stored.newest_scratch is not None:
        since = len(after(stored.newest_scratch, run.spec.session, settings.exchange))
    parent = None
    try:
        parent = load_model(champion, settings)
        check_parent(parent, windows, settings)
        check_same_market(parent.card, stored.fitted_with, run)
        facts = ChainFacts(
            usable=True,
            error="",
            sessions_since_scratch=since,
            chain_epochs=champion["chain_epochs"],
            drift=_drift_reason(stored),
            had_events=parent.card.has_events,
            has_events=windows.has_events,
            had_market=parent.card.has_market,
            has_market=windows.has_market,
        )
    except ArtifactError as error:
        if run.spec.mode == "warm":
            raise
        parent, facts = None, ChainFacts(False, str(error), since, champion["chain_epochs"])
    choice = choose_mode(run.spec.mode, facts, scratch_every=settings.scratch_every)
    return _Plan(choice, windows, champion, parent, own)


def _drift_reason(stored: _Stored) -> str:
    if stored.losses is None:
        return ""
    return drift_reason(stored.losses, newest_scratch=stored.newest_scratch)


def _fit_and_save(run: NightRun, plan: _Plan, inputs: NightInputs) -> Row:
    """Fit, write the artifact, return the row: a kill before the row leaves a folder, which the next run deletes."""
    method, settings = plan.choice.method, run.settings
    model_id = network_id(run.id, method)
    started = time.perf_counter()
    fitted, used = _fit(run, plan)
    verdict = _examine(run, plan, fitted)
    seconds = round(time.perf_counter() - started, 3)
    artifact = save(fitted, artifact_folder(settings, model_id))
    card, base = fitted.card, fitted.card.base or RANDOM
    companions = {symbol: inputs.companion_fetches[symbol] for symbol in used}
    logger.info("fitted model %s (%s, base %s, %d epochs) in %.1f s", model_id, method, base, card.epochs, seconds)
    return {
        "id": model_id,
        "name": LSTM,
        "version": str(card.architecture),
        "method": method,
        "parent_id": plan.champion["id"] if method == "warm" and plan.champion else None,
        "base": base,
        "symbol": run.spec.symbol,
        "target": run.spec.target,
        "scope": "panel" if card.base else "symbol",
        "seed": settings.seed,
        "trained_from": fitted.trained_from,
        "trained_to": fitted.trained_to,
        "epochs": card.epochs,
        "chain_epochs": card.chain_epochs,
        "fetch_id": inputs.fetch_id,
        "companion_fetches": json.dumps(companions, sort_keys=True) if companions else "",
        "run_id": run.id,
        "settings_hash": settings.hash,
        "code_version": code_version(),
        "artifact_path": str(artifact.path.relative_to(settings.data_dir.absolute())),
        "artifact_hash": artifact.sha256,
        "seconds": seconds,
        "refused": verdict.refused,
        "gate": verdict.text(),
        "created_at": run.now(),
    }


def _fit(run: NightRun, plan: _Plan) -> tuple[Checkpoint, list[str]]:
    """The fitted ensemble, and the companions that trained the weights it started from."""
    if plan.choice.method == "warm":
        return fit(plan.windows, mode="warm", parent=plan.parent, settings=run.settings), []
    companions = load_companions(run)
    fitted = fit_scratch(plan.windows, list(companions.values()), settings=run.settings, own=plan.own)
    used = fitted.card.base == COMPANION_TRAINED
    if companions:
        outcome = "trained the starting weights" if used else "are left out: their weights lost more on later sessions"
        logger.info("%d companions %s", len(companions), outcome)
    return fitted, list(companions) if used else []


def _examine(run: NightRun, plan: _Plan, fitted: Checkpoint) -> Verdict:
    """What the gate finds about tonight's fit."""
    verdict = examine(fitted, plan.windows, champion=plan.parent, own=plan.own)
    if verdict.refused:
        logger.warning("the gate refused tonight's fit of %s: %s", run.spec.symbol, verdict.refused)
    return verdict


def _write(connection: Connection, run: NightRun, fitted: _Fit) -> Outcome[Row | None]:
    if fitted.choice is not None:  # also of a fit that failed, so that its run shows what was tried
        mode = {"mode": fitted.choice.method, "mode_reason": fitted.choice.reason}
        writes.update_run(connection, run.id, mode)
        if fitted.note:
            open_run(connection, run, started_at=run.now(), note=fitted.note)
        if fitted.model.value is not None:
            writes.add_model(connection, fitted.model.value)
    return fitted.model


def _model_id(model: Outcome[Row | None]) -> str:
    row = model.get()
    return str(row["id"]) if row is not None and not row["refused"] else ""
