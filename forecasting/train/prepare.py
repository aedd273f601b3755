"""From windows to what a network learns from: effect, scaler, tensors and the rows with a known target."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from forecasting.errors import ArtifactError
from forecasting.preprocess.windows import FEWEST_ROWS, Windows
from forecasting.settings import Settings
from forecasting.train.calendar_effects import AdjustedWindows, CalendarEffect, Rows, adjust, fit_effect
from forecasting.train.checkpoint import Card, Checkpoint
from forecasting.train.model import ARCHITECTURE
from forecasting.train.training_loop import TrainingRows, make_tensors, standardise


@dataclass(frozen=True)
class Prepared:
    """One symbol, ready to be learned from or spoken for.

    Attributes:
        card: Scaler and effect, and what rows and settings they are of.
        adjusted: The windows with the effect taken out.
        training: Standardised tensors, and the rows to learn from.
    """

    card: Card
    adjusted: AdjustedWindows
    training: TrainingRows


def prepare(windows: Windows, *, method: Literal["scratch", "warm", "base"], settings: Settings) -> Prepared:
    """CalendarEffect and scaler learned from the rows with a known target, and from no other.

    Raises:
        ValueError: Too few rows with a known target.
    """
    rows = training_rows(windows)
    effect = fit_effect(windows)
    adjusted = adjust(windows, effect)
    step_mean, step_scale = standardise(adjusted.steps[windows.warm_up + rows])
    past_mean, past_scale = standardise(adjusted.past[rows])
    card = Card(
        target=windows.target,
        method=method,
        flag_names=windows.flag_names,
        effect=tuple(effect.coefficients.tolist()),
        effect_intercept=effect.intercept,
        step_mean=step_mean,
        step_scale=step_scale,
        past_mean=past_mean,
        past_scale=past_scale,
        trained_from="",
        trained_to="",
        rows=0,
        epochs=0,
        chain_epochs=0,
        validation_loss=None,
        base="",
        settings_hash=settings.hash,
        seed=settings.seed,
        members=settings.members,
        architecture=ARCHITECTURE,
    )
    card = with_span(card, windows, rows)
    return Prepared(card, adjusted, TrainingRows(make_tensors(card, adjusted, windows.warm_up), rows))


def prepare_like(checkpoint: Checkpoint, windows: Windows) -> Prepared:
    """The windows as `checkpoint` sees them: its scaler, its effect, its features.

    Raises:
        ArtifactError: It forecasts another target, or knows other features than the windows hold.
    """
    check_alike(checkpoint, windows)
    card = checkpoint.card
    adjusted = adjust(windows, CalendarEffect(np.array(card.effect), card.effect_intercept))
    found = (len(card.step_mean), len(card.past_mean))
    wanted = (adjusted.steps.shape[1], adjusted.past.shape[1])
    if found != wanted:
        raise ArtifactError(
            f"A model that sees {wanted[0]} features of a session and {wanted[1]} of a row was expected; found one of "
            f"{found[0]} and {found[1]}: it was made by other code. Fit from scratch (--mode scratch)."
        )
    return Prepared(
        card, adjusted, TrainingRows(make_tensors(card, adjusted, windows.warm_up), np.arange(len(windows)))
    )


def check_alike(checkpoint: Checkpoint, windows: Windows) -> None:
    """Nothing, when the checkpoint is of the windows' target and knows their flags.

    Raises:
        ArtifactError: It is of another target, or knows other flags.
    """
    card = checkpoint.card
    if (card.target, card.flag_names) != (windows.target, windows.flag_names):
        raise ArtifactError(
            f"A model of {windows.target} with {len(windows.flag_names)} calendar and event flags was expected; found "
            f"one of {card.target} with {len(card.flag_names)}. Fit from scratch (--mode scratch)."
        )


def training_rows(windows: Windows) -> Rows:
    """The rows from the first to the last with a known target; those between without one lose nothing, being masked.

    Raises:
        ValueError: Too few.
    """
    known = np.flatnonzero(np.isfinite(windows.scaled).any(axis=1))
    if len(known) < FEWEST_ROWS // 2:
        raise ValueError(f"a fit needs at least {FEWEST_ROWS // 2} rows with a known target; found {len(known)}")
    return np.arange(known[0], known[-1] + 1)


def with_span(card: Card, windows: Windows, rows: Rows) -> Card:
    """The card with the span of `rows`: oldest origin, newest session whose value is learned from, how many."""
    oldest, newest = windows.origins[rows[0]], windows.sessions[windows.learnable_sessions - 1]
    return replace(card, trained_from=str(oldest), trained_to=str(newest), rows=len(rows))
