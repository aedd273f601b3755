"""The linear model that the network is combined with: ridges on seasonally adjusted inputs.

Calendar and event effects are removed from the past before lags are computed: a lag that falls on
an earnings day or half day reflects that day rather than the symbol's level of activity. The effect
of the target session is added back. Its errors differ from the network's, so their mean beats
either.
"""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from forecasting.losses import Floats, weighted_quantiles
from forecasting.preprocess.future_covariates import (
    CALENDAR_PARTS,
    EVENT_NAMES,
    EVENTS,
    calendar_part,
)
from forecasting.preprocess.windows import (
    LEVEL_SESSIONS,
    LONGEST_MEAN,
    H,
    Rows,
    Windows,
    from_model,
    lag_features,
    level_of,
    long_memory_features,
    past_column,
    to_model,
    trailing_means,
)
from forecasting.vocabulary import HORIZONS, QUANTILES

_EFFECT_PENALTY = 50.0
PENALTY = 100.0
"""The penalty of the squared standardised coefficients of a ridge. The intercept has none."""

_NETWORK_FLAGS = (
    "weekday_tue",
    "weekday_wed",
    "weekday_thu",
    "weekday_fri",
    "earnings+0",
    "earnings+1",
)
_PASSES = 3
_ROW_HALF_LIFE = 1000.0  # sessions after which a row's weight in the ridges is half
_QUARTER_WEEKS = (13, 26, 39, 52)
_QUARTERS = 5 * len(_QUARTER_WEEKS)  # features of unusual volume in earlier quarters
_NEAR = 5  # sessions around the session a quarter before
_CENTRED = 10  # sessions on either side in the moving mean that effects are measured against
_RECENT = 20  # sessions whose mean calendar effect a forecast's is compared with

Mask = NDArray[np.bool_]

# Held while a number of threads is 1: it is the whole process's, and a fit that ends would restore
# it for one that goes on
_IN_TURN = threading.RLock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A context, or decorator, in which BLAS uses one thread; afterwards as many as before.

    BLAS splits a sum by the number of threads, so its last bits depend on it; a refit took 4.5 s of
    CPU, 1.1 s on one.
    """
    with _IN_TURN, _libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """The libraries of the process; they are searched, which takes 11 ms, after imports alone."""
    return ThreadpoolController()


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge regression."""

    mean: Floats  # (P,)
    scale: Floats  # (P,) 1 of a constant feature
    coefficients: Floats  # (P,) of the standardised features
    intercept: float
    # (N,) weighted leave-one-out residuals of the training rows, truth - forecast
    loo_residuals: Floats

    @property
    def slopes(self) -> Floats:
        """(P,) coefficients of the features as they are."""
        return self.coefficients / self.scale

    def forecast(self, features: Floats) -> Floats:
        """(M,) point forecasts of features (M, P)."""
        # Not a matrix product: its bits may depend on the number of rows.
        terms = (features - self.mean) / self.scale * self.coefficients
        return terms.sum(axis=-1) + self.intercept


@dataclass(frozen=True)
class Design:
    """The features of a ridge, standardised, and what they contribute to any truth's solution."""

    mean: Floats  # (P,)
    scale: Floats  # (P,) 1 of a constant feature
    features: Floats  # (N, P + 1) standardised, and ones
    weighted: Floats  # (N, P + 1) times the rows' weights
    inverse: Floats  # (P + 1, P + 1) of the penalised Gram matrix

    def solve(self, truth: Floats) -> Floats:
        """(P + 1,) coefficients of the standardised features, and the intercept."""
        solution: Floats = self.inverse @ (self.weighted.T @ truth)
        return solution


def make_design(features: Floats, weights: Floats, *, penalty: float) -> Design:
    """The design of `features` (N, P), no NaN; the intercept is not penalised."""
    mean = np.average(features, axis=0, weights=weights)
    deviations = features - mean
    scale = np.sqrt(np.average(deviations**2, axis=0, weights=weights))
    scale = np.where(scale > 1e-12, scale, 1.0)
    design = np.column_stack([deviations / scale, np.ones(len(features))])
    weighted = design * weights[:, None]
    gram = weighted.T @ design + np.diag(np.append(np.full(features.shape[1], penalty), 0.0))
    inverse = np.asarray(np.linalg.inv(gram), dtype=np.float64)
    return Design(mean, scale, design, weighted, inverse)


def fit_ridge(
    features: Floats, truth: Floats, weights: Floats, *, penalty: float = PENALTY
) -> Ridge:
    """Fit the weighted ridge of `truth` (N,) on `features` (N, P), both without NaN."""
    no_further = np.empty((len(features), 1, 0))
    return fit_ridges(features, no_further, truth[:, None], weights, penalties=[penalty])[0]


def fit_ridges(
    shared: Floats,
    further: Floats,
    truths: Floats,
    weights: Floats,
    *,
    penalties: Sequence[float] = (PENALTY,) * H,
) -> list[Ridge]:
    """Fit a weighted ridge for each of H truths, which have most features and rows in common.

    Args:
        shared: (N, P) the features of every ridge, without NaN.
        further: (N, H, K) the features of each ridge alone, which follow the shared ones, without
            NaN.
        truths: (N, H) NaN where unknown. A ridge is fitted on the rows of its known truths.
        weights: (N,) the weights of the rows.
        penalties: (H,) the penalty of each ridge's squared coefficients.
    """
    known = np.isfinite(truths)
    is_common = np.asarray(known.all(axis=1), dtype=np.bool_)
    # The products of columns that are far from zero would lose digits.
    centre = shared[known.any(axis=1)].mean(axis=0)
    centred = shared - centre
    products = _products(centred[is_common], weights[is_common])
    rows = SharedRows(centre, centred, weights, is_common, products)
    return [
        rows.fit(further[:, h], truths[:, h], penalty=penalty)
        for h, penalty in enumerate(penalties)
    ]


def _products(features: Floats, weights: Floats) -> Floats:
    """Return the weighted sums (P, P) of the products of each two features of rows (N, P)."""
    products: Floats = features.T @ (features * weights[:, None])
    return products


@dataclass(frozen=True)
class SharedRows:
    """The rows and features that several ridges share."""

    centre: Floats  # (P,) mean of each feature
    features: Floats  # (N, P) less the centre
    weights: Floats  # (N,)
    is_common: Mask  # (N,) whether every ridge is fitted on the row
    products: Floats  # (P, P) weighted sums over these rows

    def fit(self, further: Floats, truth: Floats, *, penalty: float) -> Ridge:
        """Fit a ridge of `truth` (N,), NaN where unknown, on these and `further` features (N, K).

        The leave-one-out residual r / (1 - leverage) is exact for a given standardisation (Allen's
        PRESS, 1974).
        """
        known = np.isfinite(truth)
        weights = np.where(known, self.weights, 0.0)
        total = weights.sum()
        mean = weights @ self.features / total
        # The truth is one more column, so that its products are summed with the others.
        columns = np.column_stack([further, np.where(known, truth, 0.0)])
        column_means = weights @ columns / total
        columns -= column_means
        products = self._all_products(known, mean, columns, weights)

        variances = np.diag(products)[:-1] / total
        scale = np.sqrt(np.maximum(variances, 0.0))
        scale = np.where(scale > 1e-12, scale, 1.0)
        correlations = products[:-1, :-1] / np.outer(scale, scale)
        factor = np.linalg.cholesky(correlations + penalty * np.eye(len(scale)))
        # The transpose of this matrix times itself is the inverse of the penalised products.
        whitening = np.linalg.inv(factor) / scale
        slopes = whitening.T @ (whitening @ products[:-1, -1])

        deviations = np.concatenate([self.features - mean, columns[:, :-1]], axis=1)
        white = deviations @ whitening.T
        leverage = weights * (np.einsum("np,np->n", white, white) + 1.0 / total)
        residuals = (columns[:, -1] - deviations @ slopes) / np.maximum(1.0 - leverage, 1e-6)
        return Ridge(
            mean=np.concatenate([self.centre + mean, column_means[:-1]]),
            scale=scale,
            coefficients=slopes * scale,
            intercept=float(column_means[-1]),
            loo_residuals=residuals[known],
        )

    def _all_products(self, known: Mask, mean: Floats, columns: Floats, weights: Floats) -> Floats:
        """Return the weighted sums of products of shared features and `columns`, about the means.

        Only the rows that are not common are added to the sums of the shared features.
        """
        is_other = known & ~self.is_common
        others = _products(self.features[is_other], self.weights[is_other])
        of_shared = self.products + others - weights.sum() * np.outer(mean, mean)
        weighted = columns * weights[:, None]
        crossed = self.features.T @ weighted
        return np.block([[of_shared, crossed], [crossed.T, columns.T @ weighted]])


@dataclass(frozen=True)
class CalendarEffect:
    """The effect of each flag on the log of the target."""

    coefficients: Floats  # (C,) one per flag
    intercept: float  # difference of a session without flags from the moving mean

    def of(self, flags: Floats) -> Floats:
        """(..,) the effect on sessions with `flags` (.., C)."""
        # Not a matrix product: its bits may depend on the number of sessions.
        return (flags * self.coefficients).sum(axis=-1) + self.intercept


@dataclass(frozen=True)
class AdjustedWindows:
    """Seasonally adjusted windows: the inputs of both the linear model and the network."""

    steps: Floats  # (D, S) the network's features of each session; finite from the longest mean on
    past: Floats  # (N, P) lags, long-memory features and event flags of each row
    # (N, H, K) future covariates of each target session: its effect, unusual volume in earlier
    # quarters (zero for a symbol with event dates) and its event flags. The effect replaces the
    # calendar flags: with both, ridge and network were worse (MAE 2.007 for 2.005, 2.353 for 2.349)
    future: Floats
    centre: Floats  # (N, H) models are fitted on scaled - centre
    truth: Floats  # (N, H) these targets; NaN where unknown

    def from_adjusted(self, adjusted: Floats, rows: Rows | int) -> Floats:
        """(..., H, Q) quantiles of one row or of n in model scale, from adjusted ones."""
        return self.centre[rows][..., None] + adjusted


def fit_effect(windows: Windows) -> CalendarEffect:
    """The effect of every flag, estimated on the learnable sessions.

    The newer a session, the more weight it has, by the target's `effect_half_life`. Each pass
    measures sessions against a centred moving mean of the series as adjusted by the pass before.
    """
    learnable = slice(windows.learnable_sessions)
    series = windows.steps[learnable, past_column(windows.target)]
    flags = windows.flags[learnable]
    known = np.isfinite(windows.values[learnable])
    weights = 0.5 ** (np.arange(known.sum())[::-1] / windows.rules.effect_half_life)
    # Their sum, which the penalty is relative to, stays the number of sessions
    weights /= weights.mean()
    window = np.ones(2 * _CENTRED + 1)
    counts = np.convolve(np.ones(len(series)), window, "same")
    effect = CalendarEffect(np.zeros(flags.shape[1]), 0.0)
    design = make_design(flags[known], weights, penalty=_EFFECT_PENALTY)
    for _ in range(_PASSES):
        deviation = series - np.convolve(series - effect.of(flags), window, "same") / counts
        solution = design.solve(deviation[known])
        slopes = solution[:-1] / design.scale
        intercept = float(solution[-1]) - float(design.mean @ slopes)
        effect = CalendarEffect(slopes, intercept)
    return effect


def adjust(windows: Windows, effect: CalendarEffect) -> AdjustedWindows:
    """The windows with `effect` removed from the past and from the targets."""
    column = past_column(windows.target)
    steps = windows.steps.copy()
    steps[:, column] -= effect.of(windows.flags)
    past = [
        lag_features(steps, windows.target),
        long_memory_features(steps, windows.target),
        windows.flags[:, EVENTS],
    ]
    # Companies report on the same weekday every 13 weeks: without dates, unusual volume in earlier
    # quarters lowers pinball loss by 2 to 3% (eight held-out stocks); dates replace it.
    quarters = np.zeros((len(windows), H, _QUARTERS))
    if not windows.has_events:
        quarters = unusual_quarters_before(windows, steps[:, 0])
    ahead = effect.of(windows.future_flags)  # (N, H)
    level = level_of(steps[:, column])[windows.warm_up :]
    centre = (level - windows.level)[:, None] + ahead
    return AdjustedWindows(
        steps=_network_steps(windows, steps, effect),
        past=np.column_stack(past)[windows.warm_up :],
        future=np.concatenate(
            [ahead[..., None], quarters, windows.future_flags[..., EVENTS]], axis=-1
        ),
        centre=centre,
        truth=windows.scaled - centre,
    )


def _network_steps(windows: Windows, adjusted: Floats, effect: CalendarEffect) -> Floats:
    """(D, S) logs less their means, moves, effects of the session and the next one, and flags."""
    series = adjusted[:, past_column(windows.target)]
    level, long_mean = trailing_means(series, LEVEL_SESSIONS, LONGEST_MEAN)
    logs = [series - level, long_mean - level]
    logs += [column - level_of(column) for column in windows.steps[:, :2].T]
    # The next session's flags as known at the close of the row; before the first row its own flags
    # are used.
    next_flags = np.concatenate(
        [windows.flags[1 : windows.warm_up + 1], windows.future_flags[:, 0]]
    )
    effects = [effect.of(windows.flags), effect.of(next_flags)]
    flags = [windows.flags[:, windows.flag_names.index(name)] for name in _NETWORK_FLAGS]
    return np.column_stack([*logs, *windows.steps[:, 2:].T, *effects, *flags])


def unusual_quarters_before(windows: Windows, log_volume: Floats) -> Floats:
    """(N, H, 20) unusual volume 13, 26, 39 and 52 weeks before each target session, and near it."""
    sessions = len(windows.steps)
    usual = level_of(log_volume)
    unusual = np.zeros(sessions + 2 * _NEAR)  # zero for sessions outside the windows
    unusual[_NEAR + 1 : _NEAR + sessions] = np.nan_to_num(log_volume[1:] - usual[:-1])
    columns = []
    for weeks in _QUARTER_WEEKS:
        before = windows.sessions - np.timedelta64(7 * weeks, "D")
        at = np.searchsorted(windows.sessions[:sessions], before) + _NEAR
        around = np.stack([unusual[at + offset] for offset in range(-_NEAR, _NEAR + 1)])
        adjacent = np.maximum(around[_NEAR - 1], around[_NEAR + 1])
        columns += [around[_NEAR], adjacent, around.max(axis=0), around[0], around[-1]]
    by_session: Floats = np.clip(np.stack(columns, axis=-1), -0.5, 1.5)  # (D + H, 20)
    targets = np.arange(windows.warm_up, sessions)[:, None] + np.array(HORIZONS)
    return by_session[targets]


@dataclass(frozen=True)
class LinearForecast:
    """The linear model's forecasts, and what each kind of input adds to that of the newest row."""

    quantiles: Floats  # (H, Q) or (n, H, Q) in the target's own unit; ascending
    # By kind of input, (H,) its part of the log of the median. The calendar's is against the mean
    # of the last 20 sessions, a report's against a session without one, the market's against its
    # mean.
    effects: dict[str, Floats]


@dataclass(frozen=True)
class HorizonFit:
    """The ridge of the adjusted target at one horizon."""

    ridge: Ridge  # its first features are `MARKET_NAMES` where there is a market
    past: Floats  # (N, P) features that the horizons share
    future: Floats  # (N, K) features of the target sessions, which follow them
    errors: Floats  # (Q,) quantiles of the ridge's leave-one-out errors

    def features(self, rows: Rows | int) -> Floats:
        """Return the ridge's features (P + K,) of one row, or (n, P + K) of n rows."""
        return np.concatenate([self.past[rows], self.future[rows]], axis=-1)


@dataclass(frozen=True)
class LinearModel:
    """The linear model, fitted on all known targets of its windows."""

    windows: Windows
    effect: CalendarEffect
    adjusted: AdjustedWindows
    fits: list[HorizonFit]

    def forecast(self, rows: Rows | int = -1) -> LinearForecast:
        """Return the forecast of one row, by default the newest, or of n rows."""
        points = np.stack([fit.ridge.forecast(fit.features(rows)) for fit in self.fits], axis=-1)
        by_horizon = points[..., None] + np.stack([fit.errors for fit in self.fits])
        scaled = self.adjusted.from_adjusted(by_horizon, rows)
        quantiles = from_model(scaled, self.windows.level[rows])
        return LinearForecast(quantiles, _effects(self.windows, self.effect, self.fits))

    def in_case(self, case: Windows) -> "LinearModel":
        """Return the same fitted model with the flags of a case of an expected report."""
        if case is self.windows:
            return self
        adjusted = adjust(case, self.effect)
        past = np.column_stack([self.windows.market_inputs, adjusted.past])
        fits = [
            replace(fit, past=past, future=adjusted.future[:, h]) for h, fit in enumerate(self.fits)
        ]
        return LinearModel(case, self.effect, adjusted, fits)


@one_blas_thread()
def fit_linear(windows: Windows) -> LinearModel:
    """Fit the linear model on all known targets."""
    effect = fit_effect(windows)
    adjusted = adjust(windows, effect)
    return LinearModel(windows, effect, adjusted, fit_horizons(windows, adjusted))


def linear_forecast(windows: Windows, rows: Rows | int = -1) -> LinearForecast:
    """Fit the linear model and return its forecast of one row, by default the newest, or of n."""
    return fit_linear(windows).forecast(rows)


def linear_quantiles(windows: Windows, rows: Rows, adjusted: AdjustedWindows) -> Floats:
    """(n, H, Q) quantiles of n rows by the linear model of `windows`, adjusted as `adjusted`."""
    scaled = to_model(linear_forecast(windows, rows).quantiles, windows.level[rows])
    return scaled - adjusted.centre[rows][..., None]


def fit_horizons(windows: Windows, adjusted: AdjustedWindows) -> list[HorizonFit]:
    """Fit the linear model's ridge of each horizon."""
    past = np.column_stack([windows.market_inputs, adjusted.past])
    known = np.isfinite(adjusted.truth)
    newest = np.array([np.flatnonzero(of_horizon)[-1] for of_horizon in known.T])  # (H,) rows
    last = newest.max()
    weights = 0.5 ** ((last - np.arange(len(past))) / _ROW_HALF_LIFE)
    # A penalty is relative to the weight of the newest row of its horizon.
    penalties = PENALTY * weights[newest]
    ridges = fit_ridges(past, adjusted.future, adjusted.truth, weights, penalties=list(penalties))
    fits = []
    for h, ridge in enumerate(ridges):
        errors = weighted_quantiles(ridge.loo_residuals, QUANTILES, weights[known[:, h]])
        fits.append(HorizonFit(ridge, past, adjusted.future[:, h], errors))
    return fits


def _effects(windows: Windows, effect: CalendarEffect, fits: list[HorizonFit]) -> dict[str, Floats]:
    """The effects of `LinearForecast`: those removed and added back, and the ridges' terms."""
    removed = _removed_effects(windows, effect)
    slopes = np.stack([fit.ridge.slopes for fit in fits])  # (H, P)
    features = np.stack([fit.features(-1) for fit in fits])
    mean = np.stack([fit.ridge.mean for fit in fits])
    terms = slopes * features
    events = len(EVENT_NAMES)
    future = 1 + _QUARTERS + events  # of the features, the last: effect, quarters, flags
    markets = windows.market_inputs.shape[1]
    parts = {part: slopes[:, -future] * effects for part, effects in removed.items()}
    past_events = terms[:, -future - events : -future]
    parts["report"] += terms[:, EVENTS].sum(axis=1) + past_events.sum(axis=1)
    parts["quarter"] = terms[:, 1 - future : -events].sum(axis=1)
    parts["market"] = (slopes * (features - mean))[:, :markets].sum(axis=1)
    for part, effects in removed.items():
        parts[part] += effects
    return parts


def _removed_effects(windows: Windows, effect: CalendarEffect) -> dict[str, Floats]:
    """(H,) the effect of each part of the calendar, and of reports, on the newest row's targets."""
    events = len(EVENT_NAMES)
    by_flag = windows.future_flags[-1] * effect.coefficients  # (H, C), events last
    usual = (windows.flags[-_RECENT:, :-events] * effect.coefficients[:-events]).mean(axis=0)
    part_of = np.array([calendar_part(name) for name in windows.flag_names[:-events]])
    removed = {
        part: (by_flag[:, :-events] - usual)[:, part_of == part].sum(axis=1)
        for part in CALENDAR_PARTS
    }
    return removed | {"report": by_flag[:, EVENTS].sum(axis=1)}
