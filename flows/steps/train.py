"""Fit tonight's challenger, keep its weights as a file and its lineage as a row."""

import logging
import time
from datetime import date
from pathlib import Path
from typing import Any

from flows import clock
from flows.night import Night, artifact_folder, short_id
from flows.steps.companions import companion_fetches, read_companions
from flows.steps.drift import drift_since_scratch
from flows.steps.known import known_at, resting_fetch
from flows.steps.run_row import code_version
from forecasting.errors import ArtifactError
from forecasting.preprocess.windows import Windows, load_windows
from forecasting.sessions import between
from forecasting.settings import Settings
from forecasting.store import database, lineage, reads, writes
from forecasting.train import checkpoint as checkpoints
from forecasting.train.checkpoint import DRAWN, THEIRS, Checkpoint
from forecasting.train.fit import check_parent, fit, rehearse
from forecasting.train.mode import ChainFacts, ModeChoice, choose_mode
from forecasting.train.pool import fit_scratch

logger = logging.getLogger("forecasting.train")


Record = dict[str, Any]


def fit_challenger(night: Night, settings: Settings, windows_path: str) -> str:
    """The challenger's model id, or an empty text when the night fits none.

    Raises:
        ArtifactError: A warm fit was asked for and the champion's weights cannot be used.
    """
    run_id = night.run_id(settings)
    with database.reading(settings.url) as connection:
        fitted = lineage.model_of_run(connection, run_id)
        champion = reads.champion(connection, night.symbol, night.target, session=night.session)
        newest_scratch = lineage.newest_scratch(connection, night.symbol, night.target, session=night.session)
        # The charts read hundreds of scored origins, and only a free choice of mode asks them.
        asks = night.mode == "auto" and fitted is None and champion is not None
        then = known_at(connection, night, settings)
        drifted = drift_since_scratch(connection, night, newest_scratch, known_at=then) if asks else ""
    if fitted is not None:
        return str(fitted["id"])  # the run was killed after this fit; the same weights speak
    windows = load_windows(Path(windows_path))
    since = len(between(newest_scratch, night.session, settings.exchange)) - 1 if newest_scratch else 10**6
    parent, facts = inspect_champion(champion, night, settings, windows, since=since, drifted=drifted)
    choice = choose_mode(night.mode, facts, scratch_every=settings.scratch_every)
    with database.transaction(settings.url) as connection:
        writes.update_run(connection, run_id, {"mode": choice.method, "mode_reason": choice.reason})
    logger.info("mode %s for %s at %s: %s", choice.method, night.symbol, night.session, choice.reason)
    if choice.method == "skip":
        return ""
    return fit_and_keep(night, settings, windows, choice=choice, champion=champion, parent=parent)


def inspect_champion(
    champion: Record | None, night: Night, settings: Settings, windows: Windows, *, since: int, drifted: str
) -> tuple[Checkpoint | None, ChainFacts | None]:
    """The champion's checkpoint, where a warm fit can go on from it, and the facts that choose the mode.

    A champion made under other settings, or by other code, is none to go on from: then tonight's fit is from scratch.
    """
    if champion is None:
        return None, None
    try:
        parent = load_model(champion, settings)
        check_parent(parent, windows, settings)
    except ArtifactError as error:
        if night.mode == "warm":
            raise
        return None, ChainFacts(False, str(error), since, champion["chain_epochs"])
    return parent, ChainFacts(True, "", since, champion["chain_epochs"], drifted)


def stored_at(model: Record, settings: Settings) -> Path:
    """The folder that a model row names, whose weights were not pruned."""
    folder: Path = settings.data_dir.absolute() / model["artifact_path"]
    return folder


def load_model(model: Record, settings: Settings) -> Checkpoint:
    """The checkpoint of a model row.

    Raises:
        ArtifactError: Missing, pruned, altered, or of code that this code cannot run.
    """
    if model["artifact_path"] is None or model["artifact_hash"] is None:
        raise ArtifactError(
            f"The weights of model {model['id']} were pruned on purpose; promote a newer model or fit anew."
        )
    return checkpoints.load(stored_at(model, settings), model["artifact_hash"])


def load_runnable(model: Record, settings: Settings) -> Checkpoint:
    """The checkpoint of a model row, once it has spoken: what a champion must be able to do.

    Raises:
        ArtifactError: It cannot be loaded, or this code cannot run it.
    """
    checkpoint = load_model(model, settings)
    rehearse(checkpoint)
    return checkpoint


def why_not_runnable(model: Record, settings: Settings) -> str:
    """Why this code cannot load and run a model, in words; empty when it can."""
    try:
        load_runnable(model, settings)
    except ArtifactError as error:
        return str(error)
    return ""


def fit_and_keep(
    night: Night,
    settings: Settings,
    windows: Windows,
    *,
    choice: ModeChoice,
    champion: Record | None,
    parent: Checkpoint | None,
) -> str:
    """Fit, write the artifact, then the row: a kill in between leaves a folder that the next attempt replaces."""
    run_id = night.run_id(settings)
    model_id = short_id("model", run_id, choice.method)
    started = time.perf_counter()
    if choice.method == "warm":
        fitted, teachers = fit(windows, mode="warm", parent=parent, settings=settings), list[str]()
    else:
        fitted, teachers = fit_beside(windows, read_companions(night, settings), settings)
    base, seconds = fitted.card.base or DRAWN, round(time.perf_counter() - started, 3)
    artifact = checkpoints.save(fitted, artifact_folder(settings, model_id))
    with database.transaction(settings.url) as connection:
        writes.add_model(
            connection,
            {
                "id": model_id,
                "name": "lstm",
                "version": str(fitted.card.architecture),
                "method": choice.method,
                "parent_id": champion["id"] if choice.method == "warm" and champion else None,
                "base": base,
                "symbol": night.symbol,
                "target": night.target,
                "scope": "panel" if fitted.card.base else "symbol",
                "seed": settings.seed,
                "trained_from": date.fromisoformat(fitted.card.trained_from),
                "trained_to": date.fromisoformat(fitted.card.trained_to),
                "epochs": fitted.card.epochs,
                "chain_epochs": fitted.card.chain_epochs,
                "fetch_id": resting_fetch(connection, night, settings)["id"],
                "companion_fetches": companion_fetches(connection, night, settings, teachers),
                "run_id": run_id,
                "settings_hash": settings.hash,
                "code_version": code_version(),
                "artifact_path": str(artifact.path.relative_to(settings.data_dir.absolute())),
                "artifact_hash": artifact.sha256,
                "seconds": seconds,
                "created_at": clock.now(),
            },
        )
    made = f"{choice.method}, base {base}, {fitted.card.epochs} epochs"
    logger.info("fitted model %s (%s) in %.1f s", model_id, made, seconds)
    return model_id


def fit_beside(windows: Windows, companions: dict[str, Windows], settings: Settings) -> tuple[Checkpoint, list[str]]:
    """A fit from scratch, and the companions that taught the weights it started from."""
    fitted = fit_scratch(windows, list(companions.values()), settings=settings)
    taught = fitted.card.base == THEIRS
    if companions:
        outcome = "taught the weights it starts from" if taught else "knew its later sessions less well: left aside"
        logger.info("%d companions %s", len(companions), outcome)
    return fitted, list(companions) if taught else []
