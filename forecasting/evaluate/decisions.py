"""The decisions of a night: how the challenger is fitted, who is champion, on what evidence.

A challenger takes over when it passed the gate (train/gate.py) and its weights can be run. No
scores are compared: the champion is refreshed every night, and the losses of two fits a night apart
differ by less than any test finds. The procedure (warm chains, fits from scratch, combination,
fallback) is chosen by replaying nights (docs/experiments.md), and guarded by the control charts and
the fallback, which watch the published forecasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from forecasting.evaluate.significance import diebold_mariano
from forecasting.plain_text import quantity
from forecasting.predict.fallback import MIN_ORIGINS, WINDOW_ORIGINS, Deficit
from forecasting.vocabulary import CHAMPION, HORIZONS, Mode

if TYPE_CHECKING:
    from forecasting.preprocess.windows import Windows
    from forecasting.train.checkpoint import Card

Method = Literal["scratch", "warm", "skip"]
FITS: tuple[Method, ...] = ("scratch", "warm")  # the methods by which a night makes a network
ModeKind = Literal[
    "young", "asked", "first", "unreadable", "changed", "drift", "age", "epochs", "routine"
]
"""Kind of a mode's reason: too short a history, the user's choice, no champion yet, a champion that
no warm fit can go on from, other inputs since its chain of fits began, an alarm of the control
charts, a chain that is old or has many epochs, none of these."""

MAX_CHAIN_EPOCHS = 60
"""Epochs of a chain of warm fits. Longer ones overfit: coverage of 80% intervals fell to 68%."""


@dataclass(frozen=True)
class ModeChoice:
    """The method and the reason for it, its kind and in words; all are stored with the run."""

    method: Method
    kind: ModeKind
    reason: str


@dataclass(frozen=True)
class ChainFacts:
    """The facts about the champion that the mode depends on."""

    # Sessions since the newest fit from scratch of this symbol and target
    sessions_since_scratch: int
    chain_epochs: int  # epochs of the champion's chain of warm fits, its fit from scratch included
    drift: str = ""  # the alarm of the control chart; empty without one
    damage: str = ""  # why its weights are none to continue from; empty if they are
    changed: str = ""  # as of `changed_inputs`


def changed_inputs(card: Card, windows: Windows) -> str:
    """What has arrived or vanished since a champion's chain of fits began; empty for nothing.

    A warm fit keeps the effects, and with them lags from which reactions were removed, or were not.
    """
    inputs = (
        ("earnings dates have", card.has_events, windows.has_events),
        ("the market series has", card.has_market, windows.has_market),
    )
    for what, had, has in inputs:
        if had != has:
            change = "arrived" if has else "vanished"
            return f"{what} {change} since the champion's chain of fits began"
    return ""


def choose_mode(requested: Mode, champion: ChainFacts | None, *, scratch_every: int) -> ModeChoice:
    """How to fit tonight.

    From scratch without a champion, or `scratch_every` sessions after the newest such fit.
    """
    if requested == "skip":
        return ModeChoice("skip", "asked", "no fit: asked for, or between two of a catch-up")
    if champion is None:
        return ModeChoice("scratch", "first", "no champion yet")
    if champion.damage:
        reason = f"no warm fit can go on from the champion: {champion.damage.rstrip('.')}"
        return ModeChoice("scratch", "unreadable", reason)
    if requested != "auto":
        return ModeChoice(requested, "asked", f"asked for: {requested}")
    if champion.changed:
        return ModeChoice("scratch", "changed", champion.changed)
    if champion.drift:
        return ModeChoice("scratch", "drift", champion.drift)
    sessions = champion.sessions_since_scratch
    since = f"{quantity(sessions, 'session')} since the last fit from scratch"
    if sessions >= scratch_every:
        return ModeChoice("scratch", "age", since)
    if champion.chain_epochs >= MAX_CHAIN_EPOCHS:
        reason = f"the chain of warm fits has had {champion.chain_epochs} epochs"
        return ModeChoice("scratch", "epochs", reason)
    return ModeChoice("warm", "routine", since)


def decide(*, has_champion: bool, method: str, refused: str) -> tuple[bool, str]:
    """Whether tonight's fit becomes champion, and the reason.

    `refused` says what the gate has against the fit; empty for nothing.
    """
    if refused:
        stays = "The champion stays" if has_champion else "There is still no champion"
        return False, f"{stays}; the gate refused the fit: {refused}."
    if not has_champion:
        return True, "There was no champion; this fit passed the gate."
    what = "A fit from scratch" if method == "scratch" else "A refresh of the champion"
    return True, f"{what} that passed the gate takes over."


LOSS_COLUMNS = ("origin_session", "horizon", "forecaster", "target_session", "pinball", "inside_80")
"""One row per origin, horizon and forecaster: `champion`, the network whether published or not, or
a baseline's name.

Pinball loss in the target's unit; inside_80 is 1.0 or 0.0.
"""


def newest_origins(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """The rows of the newest `count` origins among them; column origin_session."""
    newest = np.sort(rows["origin_session"].unique())[-count:]
    return rows[rows["origin_session"].isin(newest)]


def best_baseline(losses: pd.DataFrame) -> str:
    """The baseline of least mean loss where all of them have one; empty without any."""
    means = _table(losses).drop(columns=CHAMPION, errors="ignore").dropna().mean()
    return str(means.idxmin()) if len(means) and means.notna().all() else ""


def deficit_of(losses: pd.DataFrame) -> Deficit | None:
    """How the network did against the best baseline; None with fewer than MIN_ORIGINS origins.

    Compared are the newest WINDOW_ORIGINS origins of which every horizon has a loss of the network
    (published or not) and of every baseline; losses are means over the horizons, then over the
    origins.
    """
    table = _table(losses)
    if CHAMPION not in table.columns or table.shape[1] == 1:
        return None
    horizons = table.dropna().groupby(level="origin_session")
    by_origin = horizons.mean()[horizons.size() == len(HORIZONS)].iloc[-WINDOW_ORIGINS:]
    if len(by_origin) < MIN_ORIGINS:
        return None
    means = by_origin.mean()
    best = str(means.drop(CHAMPION).idxmin())
    statistic, _ = diebold_mariano(by_origin[CHAMPION], by_origin[best], horizon=HORIZONS[-1])
    return Deficit(
        baseline=best,
        origins=len(by_origin),
        network_pinball=float(means[CHAMPION]),
        baseline_pinball=float(means[best]),
        statistic=statistic,
    )


def fallback_baseline(losses: pd.DataFrame, deficit: Deficit | None, usable: Sequence[str]) -> str:
    """The baseline to publish in the network's place.

    The best by these losses, else the last, usually strongest.
    """
    best = deficit.baseline if deficit else best_baseline(losses)
    return best if best in usable else usable[-1]


def _table(losses: pd.DataFrame) -> pd.DataFrame:
    # pivot, not pivot_table: a duplicate must raise, not be averaged.
    known = losses.dropna(subset=["pinball"])
    key = ["origin_session", "horizon"]
    return known.pivot(index=key, columns="forecaster", values="pinball").sort_index()
