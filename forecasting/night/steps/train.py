"""Fit each night's network: choose how, fit, keep weights and lineage."""

import logging
import time
from dataclasses import dataclass, replace
from typing import Literal

from forecasting.errors import NUMERICAL_ERRORS, ArtifactError
from forecasting.evaluate.drift import DRIFT_ORIGINS, drift_reason
from forecasting.night.night import Night, windows_of
from forecasting.night.run_log import add_notes, code_version
from forecasting.night.steps.preprocess import check_same_market, past_losses
from forecasting.plain_text import quantity
from forecasting.predict import fallback
from forecasting.preprocess.windows import Windows
from forecasting.sessions import after
from forecasting.store import connect, read, write
from forecasting.store.rows import ModelRow, WeightsRow
from forecasting.train.checkpoint import SEED, Card, Checkpoint, pack, sha256_of, unpack
from forecasting.train.fit import fit_scratch, fit_warm
from forecasting.train.gate import examine
from forecasting.train.pretrained import pretrained_for
from forecasting.vocabulary import LSTM, RANDOM, Method, Mode, short_id

logger = logging.getLogger("forecasting.train")

ModeKind = Literal["young", "asked", "first", "unreadable", "changed", "drift", "age", "routine"]
"""Kind of a mode's reason.

In this order: the history is too short, the user chose, there is no fit before, no warm fit can
continue the fit before, its inputs have changed, the control charts raise an alarm, the newest fit
from scratch is old, or nothing of these is so.
"""

SCRATCH_EVERY = 21
"""Sessions between fits from scratch: a month, the backtests' refit interval.

A chain has at most one warm fit a session, so this limits its epochs too. Chains of more than 60
overfit: the coverage of 80% intervals fell to 68%.
"""

_NEVER = 10**6  # sessions since the newest fit from scratch, where there was none


@dataclass(frozen=True)
class ModeChoice:
    """The method and the reason for it, its kind and in words; all are stored with the run."""

    method: Method
    kind: ModeKind
    reason: str


@dataclass(frozen=True)
class ParentFacts:
    """The facts about the newest fit that the mode depends on."""

    # Sessions since the newest fit from scratch of this symbol and target
    sessions_since_scratch: int
    drift: str = ""  # the alarm of the control chart; empty without one
    damage: str = ""  # why its weights are none to continue from; empty if they are
    changed: str = ""  # as of `changed_inputs`


@dataclass(frozen=True)
class Parent:
    """The newest fit before a night, as the ledger has it."""

    model: ModelRow
    stored: WeightsRow | None
    facts: ParentFacts
    fitted_with: str  # the market series of its night; empty without one


def fit_network(night: Night) -> Night:
    """The night with its fit.

    One that was killed after its fit finds its model again and fits none.
    """
    with connect.reading(night.url) as connection:
        fitted = read.stored(connection, ModelRow, night.columns)
        if fitted is not None:
            return _with_found(night, fitted)
        before = _newest_before(connection, night)
    windows = windows_of(night)
    choice, parent = _choose(night, before, windows)
    logger.info(
        "mode %s for %s at %s: %s", choice.method, night.series, night.session, choice.reason
    )
    model = None
    weights = None
    notes = {"no_model": "", "refused": ""}
    if choice.method != "skip":
        try:
            continued = before if choice.method == "warm" else None
            model, weights = _fit(night, windows, continued, parent)
        except NUMERICAL_ERRORS as error:
            logger.warning("no model of %s at %s: %s", night.series, night.session, error)
            notes["no_model"] = f"No model was fitted: {error}"
    if model is not None and model.refused:
        notes["refused"] = f"The gate refused the fit {model.id}: {model.refused}."
    with connect.transaction(night.url) as connection:
        # Also of a fit that failed, so that its run shows what was tried.
        chosen = {"mode": choice.method, "mode_kind": choice.kind, "mode_reason": choice.reason}
        write.update(connection, "runs", night.id, chosen)
        add_notes(connection, night.id, notes)
        if model is not None:
            write.add(connection, "models", model)
        if weights is not None:
            write.add(connection, "weights", weights)
            write.keep_newest_weights(connection, *night.key, session=night.session)
    return night if weights is None else replace(night, fit=weights.model_id)


def _newest_before(connection: connect.Connection, night: Night) -> Parent | None:
    """The newest fit before a night; None without one, and where no fit is asked for."""
    if night.mode == "skip":
        return None
    model = read.newest_network(connection, *night.key, before=night.session)
    if model is None:
        return None
    return Parent(
        model,
        stored=read.stored(connection, WeightsRow, {"model_id": model.id}),
        facts=_facts(connection, night),
        fitted_with=read.market_of_run(connection, model.run_id),
    )


def _choose(
    night: Night, before: Parent | None, windows: Windows
) -> tuple[ModeChoice, Checkpoint | None]:
    """How to fit tonight's network, and why; and the fit before it, if that can be continued."""
    if windows.is_young:
        return ModeChoice("skip", "young", fallback.history_text(len(windows.steps))), None
    if before is None:
        return choose_mode(night.mode, None), None
    parent = None
    try:
        parent = load_model(before.model, before.stored)
        check_same_market(parent.card, before.fitted_with, night)
        facts = replace(before.facts, changed=changed_inputs(parent.card, windows))
    except ArtifactError as error:
        if night.mode == "warm":
            raise
        facts = replace(before.facts, damage=str(error))
    return choose_mode(night.mode, facts), parent


def _with_found(night: Night, fitted: ModelRow) -> Night:
    """The night with the fit that it finds stored, if that may be published."""
    if fitted.refused or fitted.withdrawn_at is not None:
        return night
    return replace(night, fit=fitted.id)


def _facts(connection: connect.Connection, night: Night) -> ParentFacts:
    newest = read.newest_scratch(connection, *night.key, session=night.session)
    since = _NEVER
    if newest is not None:
        since = len(after(newest, night.session, night.exchange))
    drift = ""
    # The charts read hundreds of scored origins, and only a free choice of mode needs them
    if night.mode == "auto":
        losses = past_losses(connection, night, origins=DRIFT_ORIGINS)
        drift = drift_reason(losses, newest_scratch=newest)
    return ParentFacts(since, drift)


def load_model(model: ModelRow, stored: WeightsRow | None) -> Checkpoint:
    """The checkpoint of a network from its weights.

    Raises:
        ArtifactError: There are none, or they are altered or of other code.
    """
    if stored is None:
        raise ArtifactError(
            f"The ledger has no weights of model {model.id}: it keeps those of the newest fits."
        )
    place = f"the row {model.id} of table weights"
    return unpack(stored.card, stored.tensors, str(model.artifact_hash), place=place)


def changed_inputs(card: Card, windows: Windows) -> str:
    """What has arrived or vanished since a model's chain of fits began; empty for nothing.

    A warm fit keeps the effects, and with them lags from which reactions were removed, or were not.
    """
    inputs = (
        ("earnings dates have", card.has_events, windows.has_events),
        ("the market series has", card.has_market, windows.has_market),
    )
    for what, had, has in inputs:
        if had != has:
            change = "arrived" if has else "vanished"
            return f"{what} {change} since the chain of fits began"
    return ""


def choose_mode(requested: Mode, parent: ParentFacts | None) -> ModeChoice:
    """How to fit tonight.

    From scratch without a fit before, or SCRATCH_EVERY sessions after the newest from scratch.
    """
    if requested == "skip":
        reason = (
            "No fit tonight: it was skipped on request, or lies between two refits of a catch-up."
        )
        return ModeChoice("skip", "asked", reason)
    if parent is None:
        return ModeChoice("scratch", "first", "no fit before")
    if parent.damage:
        reason = f"no warm fit can go on from the newest model: {parent.damage.rstrip('.')}"
        return ModeChoice("scratch", "unreadable", reason)
    if requested != "auto":
        return ModeChoice(requested, "asked", f"asked for: {requested}")
    if parent.changed:
        return ModeChoice("scratch", "changed", parent.changed)
    if parent.drift:
        return ModeChoice("scratch", "drift", parent.drift)
    sessions = parent.sessions_since_scratch
    since = f"{quantity(sessions, 'session')} since the last fit from scratch"
    if sessions >= SCRATCH_EVERY:
        return ModeChoice("scratch", "age", since)
    return ModeChoice("warm", "routine", since)


def _fit(
    night: Night, windows: Windows, before: Parent | None, parent: Checkpoint | None
) -> tuple[ModelRow, WeightsRow | None]:
    """Tonight's fit, and its weights if the gate lets it be published.

    A warm fit continues `parent`, the checkpoint of `before`; without both it is from scratch.
    """
    started = time.perf_counter()
    if before is not None and parent is not None:
        fitted = fit_warm(windows, parent)
    else:
        parent = None
        fitted = fit_scratch(windows, pretrained=pretrained_for(windows))
    verdict = examine(fitted, windows, before=parent)
    if verdict.refused:
        logger.warning("the gate refused tonight's fit of %s: %s", night.symbol, verdict.refused)
    seconds = round(time.perf_counter() - started, 3)
    card = fitted.card
    method = card.method
    model_id = short_id("model", night.id, method)
    text, tensors = pack(fitted)
    logger.info("fitted model %s (%s) in %.1f s", model_id, method, seconds)
    model = ModelRow(
        id=model_id,
        name=LSTM,
        version=str(card.architecture),
        method=method,
        symbol=night.symbol,
        target=night.target,
        scope="panel" if card.base else "symbol",
        seed=SEED,
        code_version=code_version(),
        created_at=night.now(),
        parent_id=before.model.id if before is not None else None,
        base=card.base or RANDOM,
        fetch_id=night.fetch_id,
        run_id=night.id,
        trained_from=card.trained_from,
        trained_to=card.trained_to,
        epochs=card.epochs,
        chain_epochs=card.chain_epochs,
        seconds=seconds,
        artifact_hash=sha256_of(text.encode()),
        refused=verdict.refused,
        gate=verdict.compared,
    )
    return model, None if verdict.refused else WeightsRow(model_id, text, tensors)
