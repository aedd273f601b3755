"""Nights replayed at past origins as a nightly run works them.

What is published, not what a model could do.

Each origin has its fit (warm or from scratch, by the same rules), the gate, the promotion, the
combined and calibrated forecast of the champion, the control charts and the fallback. The functions
are those of a night; only the store is
missing: arrays take its place. A night decides on the scores of the session before, as live ones
do.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecasting.errors import NUMERICAL_ERRORS
from forecasting.evaluate import decisions
from forecasting.evaluate.drift import DRIFT_ORIGINS, drift_reason
from forecasting.evaluate.scores import inside
from forecasting.losses import Floats, pinball
from forecasting.predict.combine import MAX_FORECASTS, Past, issue, network_quantiles
from forecasting.predict.fallback import (
    SCORED_ORIGINS,
    ChampionFacts,
    Published,
    choose_published,
    unusable,
)
from forecasting.preprocess.windows import Windows
from forecasting.settings import Settings
from forecasting.train.baselines import baseline_names, baseline_quantiles
from forecasting.train.checkpoint import Checkpoint
from forecasting.train.fit import fit, fit_scratch
from forecasting.train.gate import Verdict, examine
from forecasting.train.linear import linear_forecast
from forecasting.train.trees import tree_medians
from forecasting.vocabulary import CHAMPION, HORIZONS, QUANTILES, Progress

H = len(HORIZONS)
Q = len(QUANTILES)
Block = NDArray[np.int64]  # rows of the windows, ascending


@dataclass(frozen=True)
class Nights:
    """What n nights in a row published."""

    issued: Floats  # (n, H, Q) the published quantiles, in the target's own unit
    # (n, H, Q) the champion's own forecast, published or not; NaN on nights without a champion
    network: Floats
    baselines: dict[str, Floats]  # (n, H, Q) of each baseline, refitted every night
    # Who was published, `champion` or a baseline's name, with the reason
    published: list[Published]
    modes: list[decisions.ModeChoice]  # how each night's fit was made, and why
    # What the gate found about it; None where the numbers allowed no fit
    verdicts: list[Verdict | None]

    def counts(self) -> dict[str, int]:
        """Numbers of nights: network or baseline published, fitted warm or from scratch, without a fit that passed."""
        fallback = sum(published.status == "fallback" for published in self.published)
        scratch = sum(mode.method == "scratch" for mode in self.modes)
        return {
            "network": len(self.published) - fallback,
            "fallback": fallback,
            "warm": len(self.modes) - scratch,
            "scratch": scratch,
            "refused": sum(verdict is None or bool(verdict.refused) for verdict in self.verdicts),
        }


def replay_nights(
    windows: Windows, rows: Block, settings: Settings, progress: Progress = lambda done, total: None
) -> Nights:
    """Work off a night for each of the rows, which ascend, as in mode `auto` from an empty ledger."""
    walk = _Walk(windows, rows, settings)
    for night in range(len(rows)):
        walk.work_off(night)
        progress(night + 1, len(rows))
    return walk.nights


def past_at(
    at: int, rows: Block, scaled: Floats, network: Floats, linear: Floats, trees: Floats
) -> Past:
    """The forecasts before place `at` of the rows, with the targets that had closed by then.

    All in model scale.
    """
    earlier = slice(max(0, at - MAX_FORECASTS), at)
    known = (rows[earlier, None] + np.array(HORIZONS) <= rows[at]) & np.isfinite(
        network[earlier, :1, 0]
    )
    return Past(
        np.where(known, scaled[earlier], np.nan),
        network[earlier],
        linear[earlier],
        trees[earlier],
    )


class _Walk:
    """The nights so far, and what a night finds in the ledger: champion, scores, past forecasts."""

    def __init__(self, windows: Windows, rows: Block, settings: Settings) -> None:
        self.windows = windows
        self.rows = rows
        self.settings = settings
        n = len(rows)
        names = baseline_names(settings.target)
        self.scaled = windows.scaled[rows]
        self.actual = windows.scale(rows).from_model(self.scaled[..., None])[..., 0]
        # The champion's and the linear model's, in model scale
        self.raw = np.full((2, n, H, Q), np.nan)
        self.trees = np.full((n, H), np.nan)  # medians, in model scale
        self.pinball = {name: np.full((n, H), np.nan) for name in (CHAMPION, *names)}
        self.inside_80 = np.full((n, H), np.nan)
        self.champion: Checkpoint | None = None
        # The last training session of the newest fit from scratch
        self.scratch_to: date | None = None
        self.in_fallback = False
        issued = np.empty((n, H, Q))
        network = np.full((n, H, Q), np.nan)
        self.nights = Nights(
            issued,
            network,
            {name: np.empty((n, H, Q)) for name in names},
            [],
            [],
            [],
        )

    def work_off(self, night: int) -> None:
        """Fit, examine, forecast and publish as at the close of the night's row.

        Then decide who is champion next.
        """
        windows = self.windows.as_of(int(self.rows[night]), self.settings.train_sessions)
        losses = self._losses(night)
        mode = self._mode(night, windows, losses)
        verdict, successor = self._successor(mode, windows)
        for name, quantiles in self.nights.baselines.items():
            quantiles[night] = baseline_quantiles(name, windows)
            self.pinball[name][night] = pinball(self.actual[night], quantiles[night])
        self.trees[night] = tree_medians(windows)
        recent = decisions.newest_origins(losses, SCORED_ORIGINS)
        facts, raw, issued = self._attempt(
            night,
            windows,
            recent,
            self.champion or successor,
        )
        if self.champion is not None and successor is not None and unusable(facts):
            instead = self._attempt(
                night,
                windows,
                recent,
                successor,
            )
            facts, raw, issued = (facts, raw, issued) if unusable(instead[0]) else instead
        if facts.finite:
            self.raw[:, night] = raw
            self.pinball[CHAMPION][night] = pinball(self.actual[night], issued)
            self.inside_80[night] = inside(self.actual[night], issued, 80)
        published = choose_published(facts)
        ours = published.forecaster == CHAMPION
        self.in_fallback = not ours if facts.finite else self.in_fallback
        self.nights.network[night] = issued
        self.nights.issued[night] = (
            issued if ours else self.nights.baselines[published.forecaster][night]
        )
        self.nights.published.append(published)
        self.nights.modes.append(mode)
        self.nights.verdicts.append(verdict)
        if successor is not None:
            self.champion = successor
            self.scratch_to = successor.trained_to if mode.method == "scratch" else self.scratch_to

    def _mode(self, night: int, windows: Windows, losses: pd.DataFrame) -> decisions.ModeChoice:
        facts: decisions.ChainFacts | None = None
        if self.champion is not None and self.scratch_to is not None:
            facts = decisions.ChainFacts(
                sessions_since_scratch=self._sessions_since(self.scratch_to, night),
                chain_epochs=self.champion.card.chain_epochs,
                drift=drift_reason(losses, newest_scratch=self.scratch_to),
                changed=decisions.changed_inputs(self.champion.card, windows),
            )
        return decisions.choose_mode("auto", facts, scratch_every=self.settings.scratch_every)

    def _successor(
        self, mode: decisions.ModeChoice, windows: Windows
    ) -> tuple[Verdict | None, Checkpoint | None]:
        """What the gate found about the night's fit, and the fit if it passed.

        None where the numbers allow no fit.
        """
        try:
            if mode.method == "scratch" or self.champion is None:
                fitted = fit_scratch(windows, settings=self.settings)
            else:
                fitted = fit(windows, parent=self.champion, settings=self.settings)
            verdict = examine(
                fitted,
                windows,
                settings=self.settings,
                champion=self.champion,
            )
        except NUMERICAL_ERRORS:
            return None, None
        return verdict, None if verdict.refused else fitted

    def _attempt(
        self, night: int, windows: Windows, recent: pd.DataFrame, model: Checkpoint | None
    ) -> tuple[ChampionFacts, Floats, Floats]:
        """Whether a model's forecast may be published, what it was combined from, and itself.

        NaN without one.
        """
        raw = np.full((2, H, Q), np.nan)
        issued = np.full((H, Q), np.nan)
        if model is not None:
            scale = windows.scale()
            with suppress(*NUMERICAL_ERRORS):
                network = scale.to_model(network_quantiles(model, windows))
                linear = scale.to_model(linear_forecast(windows).quantiles)
                past = past_at(
                    night,
                    self.rows,
                    self.scaled,
                    self.raw[0],
                    self.raw[1],
                    self.trees,
                )
                issued = issue(
                    network,
                    linear,
                    self.trees[night],
                    past,
                    scale=scale,
                    target=windows.target,
                ).quantiles
                raw = np.stack([network, linear])
        deficit = decisions.deficit_of(recent)
        usable = [
            name for name, made in self.nights.baselines.items() if np.isfinite(made[night]).all()
        ]
        facts = ChampionFacts(
            champion="of the replay" if model else None,
            baseline=decisions.fallback_baseline(recent, deficit, usable),
            age_sessions=self._sessions_since(model.trained_to, night) if model else None,
            max_age_sessions=self.settings.max_model_age,
            finite=bool(np.isfinite(issued).all()),
            deficit=deficit,
            in_fallback=self.in_fallback,
        )
        return facts, raw, issued

    def _sessions_since(self, session: date, night: int) -> int:
        at = int(np.searchsorted(self.windows.sessions, np.datetime64(session)))
        return int(self.rows[night]) + self.windows.warm_up - at

    def _losses(self, night: int) -> pd.DataFrame:
        first = max(0, night - DRIFT_ORIGINS - H)
        origins = np.repeat(np.arange(first, night), H)
        horizons = np.tile(np.arange(H), night - first)
        scored = self.rows[origins] + horizons + 1 <= self.rows[night - 1]
        origins = origins[scored]
        horizons = horizons[scored]
        windows = self.windows
        names = sorted(self.pinball)
        table = pd.DataFrame(
            {
                "origin_session": np.repeat(windows.origins[self.rows[origins]], len(names)),
                "horizon": np.repeat(horizons + 1, len(names)),
                "target_session": np.repeat(
                    windows.target_sessions[self.rows[origins], horizons], len(names)
                ),
                "forecaster": np.tile(np.array(names, dtype=object), len(origins)),
                "pinball": np.column_stack(
                    [self.pinball[name][origins, horizons] for name in names]
                ).ravel(),
                "inside_80": np.repeat(self.inside_80[origins, horizons], len(names)),
            }
        )
        return decisions.newest_origins(table[table["pinball"].notna()], DRIFT_ORIGINS)
