"""Seasonal adjustment: calendar and event effects, estimated first and removed from the past before lags are computed.

A lag that falls on an earnings day or half day reflects that day rather than the symbol's level of activity. The effect
of the target session is added back to the forecast.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecasting.losses import Floats
from forecasting.preprocess.features import (
    LEVEL_SESSIONS,
    MEANS,
    lag_features,
    long_memory_features,
    own_column,
    trailing_mean,
)
from forecasting.preprocess.future_covariates import EVENT_NAMES
from forecasting.preprocess.windows import Windows
from forecasting.train.ridge import fit_ridge
from forecasting.vocabulary import HORIZONS, Target

_PENALTY = 50.0
# Sessions. The effect of index funds on volume grows: from 2020 on a Russell reconstitution traded twice the ten-year
# mean. Effects on the range are stable, and estimated best from every session.
_SESSION_HALF_LIVES: dict[Target, float] = {"volume": 1000.0, "range": np.inf, "close": np.inf}
_NETWORK_FLAGS = ("weekday_tue", "weekday_wed", "weekday_thu", "weekday_fri", "earnings+0", "earnings+1")
_PASSES = 3
QUARTER_WEEKS = (13, 26, 39, 52)
_NEAR = 5  # sessions around the session a quarter before
_CENTRED = 10  # sessions on either side in the moving mean that effects are measured against

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class CalendarEffect:
    """The effect of each flag on the log of the target's own series."""

    coefficients: Floats  # (C,) one per flag
    intercept: float  # difference of a session without flags from the moving mean

    def of(self, flags: Floats) -> Floats:
        """(..,) the effect on sessions with `flags` (.., C)."""
        # Not a matrix product: its bits may depend on the number of sessions.
        effect: Floats = (flags * self.coefficients).sum(axis=-1) + self.intercept
        return effect


@dataclass(frozen=True)
class AdjustedWindows:
    """Seasonally adjusted windows: the inputs of both the linear model and the network."""

    steps: Floats  # (D, S) the network's features of each session; finite from the longest mean on
    past: Floats  # (N, P) lags, long-memory features and event flags of each row
    # (N, H, K) future covariates of each target session: its effect, unusual volume in earlier quarters (zero for a
    # symbol with event dates) and its event flags. The effect replaces the calendar flags: with both, ridge and network
    # were worse (MAE 2.007 for 2.005, 2.353 for 2.349)
    future: Floats
    centre: Floats  # (N, H) models are fitted on (scaled - centre) / width
    width: Floats  # (N, H)
    truth: Floats  # (N, H) these targets; NaN where unknown

    def to_adjusted(self, scaled: Floats, rows: Rows) -> Floats:
        """(len(rows), H, Q) adjusted quantiles, from those in model scale."""
        adjusted: Floats = (scaled - self.centre[rows][..., None]) / self.width[rows][..., None]
        return adjusted

    def from_adjusted(self, adjusted: Floats, rows: Rows) -> Floats:
        """(len(rows), H, Q) quantiles in model scale, from adjusted ones."""
        scaled: Floats = self.centre[rows][..., None] + self.width[rows][..., None] * adjusted
        return scaled


def fit_effect(windows: Windows) -> CalendarEffect:
    """The effect of every flag, estimated on the learnable sessions; for volume newer ones have more weight.

    Each pass measures sessions against a centred moving mean of the series as adjusted by the pass before.
    """
    own = windows.steps[: windows.learnable_sessions, own_column(windows.target)]
    flags = windows.flags[: windows.learnable_sessions]
    known = np.isfinite(windows.values[: windows.learnable_sessions])
    weights = 0.5 ** (np.arange(known.sum())[::-1] / _SESSION_HALF_LIVES[windows.target])
    weights /= weights.mean()  # their sum, which the penalty is relative to, stays the number of sessions
    effect = CalendarEffect(np.zeros(flags.shape[1]), 0.0)
    for _ in range(_PASSES):
        deviation = own - _centred_mean(own - effect.of(flags))
        ridge = fit_ridge(flags[known], deviation[known], penalty=_PENALTY, weights=weights)
        coefficients = ridge.coefficients / ridge.scale
        effect = CalendarEffect(coefficients, ridge.intercept - float(ridge.mean @ coefficients))
    return effect


def adjust(windows: Windows, effect: CalendarEffect) -> AdjustedWindows:
    """The windows with `effect` removed from the past and from the targets."""
    own = own_column(windows.target)
    steps = windows.steps.copy()
    steps[:, own] -= effect.of(windows.flags)
    past = [features(steps, windows.target)[0] for features in (lag_features, long_memory_features)]
    events = [windows.flag_names.index(name) for name in EVENT_NAMES]
    centre, width = _centre_and_width(windows, trailing_mean(steps[:, own], LEVEL_SESSIONS)[windows.warm_up :], effect)
    return AdjustedWindows(
        steps=_network_steps(windows, steps, effect),
        past=np.column_stack([*past, windows.flags[:, events]])[windows.warm_up :],
        future=np.concatenate(
            [
                effect.of(windows.future_flags)[..., None],
                _quarterly_volume_features(windows, steps[:, 0]),
                windows.future_flags[..., events],
            ],
            axis=-1,
        ),
        centre=centre,
        width=width,
        truth=(windows.scaled - centre) / width,
    )


def _centre_and_width(windows: Windows, level: Floats, effect: CalendarEffect) -> tuple[Floats, Floats]:
    """(N, H) centre and width of the targets, given the adjusted level (N,) of the rows."""
    ahead = effect.of(windows.future_flags)  # (N, H)
    if windows.target != "close":
        return (level - windows.level)[:, None] + ahead, np.ones_like(ahead)
    # The width of a return over h sessions follows from their ranges; the effect gives the relative width of each.
    variance = np.exp(2.0 * (level[:, None] + ahead)).cumsum(axis=1)
    return np.zeros_like(ahead), np.sqrt(variance) / windows.spread


def _network_steps(windows: Windows, adjusted: Floats, effect: CalendarEffect) -> Floats:
    """(D, S) logs less their trailing means, moves, effects of the session and of the next one, and flags."""
    own = own_column(windows.target)
    level = trailing_mean(adjusted[:, own], LEVEL_SESSIONS)
    logs = [adjusted[:, own] - level, trailing_mean(adjusted[:, own], max(MEANS)) - level]
    logs += [windows.steps[:, k] - trailing_mean(windows.steps[:, k], LEVEL_SESSIONS) for k in (0, 1)]
    # The next session's flags as known at the close of the row; before the first row its own flags are used.
    next_flags = np.concatenate([windows.flags[1 : windows.warm_up + 1], windows.future_flags[:, 0]])
    effects = [effect.of(windows.flags), effect.of(next_flags)]
    flags = [windows.flags[:, windows.flag_names.index(name)] for name in _NETWORK_FLAGS]
    return np.column_stack([*logs, *windows.steps[:, 2:].T, *effects, *flags])


def _quarterly_volume_features(windows: Windows, log_volume: Floats) -> Floats:
    """(N, H, 20) `unusual_quarters_before`, zero for a symbol with earnings dates, which they replace.

    Companies report on the same weekday every 13 weeks. Without dates they lower pinball loss by 2 to 3 % (eight
    held-out stocks).
    """
    if windows.has_events:
        return np.zeros((len(windows), len(HORIZONS), 5 * len(QUARTER_WEEKS)))
    return unusual_quarters_before(windows, log_volume)


def unusual_quarters_before(windows: Windows, log_volume: Floats) -> Floats:
    """(N, H, 20) unusual volume 13, 26, 39 and 52 weeks before each target session, and around those sessions."""
    sessions = len(windows.steps)
    usual = trailing_mean(log_volume, LEVEL_SESSIONS)
    unusual = np.zeros(sessions + 2 * _NEAR)  # zero for sessions outside the windows
    unusual[_NEAR + 1 : _NEAR + sessions] = np.nan_to_num(log_volume[1:] - usual[:-1])
    columns = []
    for weeks in QUARTER_WEEKS:
        at = np.searchsorted(windows.sessions[:sessions], windows.sessions - np.timedelta64(7 * weeks, "D")) + _NEAR
        around = np.stack([unusual[at + offset] for offset in range(-_NEAR, _NEAR + 1)])
        adjacent = np.maximum(around[_NEAR - 1], around[_NEAR + 1])
        columns += [around[_NEAR], adjacent, around.max(axis=0), around[0], around[-1]]
    by_session: Floats = np.clip(np.stack(columns, axis=-1), -0.5, 1.5)  # (D + H, 20)
    targets = np.arange(windows.warm_up, sessions)[:, None] + np.array(HORIZONS)
    features: Floats = by_session[targets]
    return features


def _centred_mean(values: Floats) -> Floats:
    window = np.ones(2 * _CENTRED + 1)
    mean: Floats = np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")
    return mean
