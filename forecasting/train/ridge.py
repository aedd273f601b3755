"""Closed-form ridge regression with leave-one-out residuals."""

from dataclasses import dataclass

import numpy as np

from forecasting.losses import Floats


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge.

    Attributes:
        mean: (P,) and scale (P,) of the features; the scale of a constant one is 1.
        coefficients: (P,) of the standardised features, and the intercept.
        loo_residuals: (N,) weighted leave-one-out residuals of the training rows, truth - forecast.
    """

    mean: Floats
    scale: Floats
    coefficients: Floats
    intercept: float
    loo_residuals: Floats

    def forecast(self, features: Floats) -> Floats:
        """(M,) point forecasts of features (M, P)."""
        # Not a matrix product: its bits may depend on the number of rows.
        forecast: Floats = ((features - self.mean) / self.scale * self.coefficients).sum(axis=-1) + self.intercept
        return forecast


def fit_ridge(features: Floats, truth: Floats, *, penalty: float, weights: Floats) -> Ridge:
    """The weighted ridge of `truth` (N,) on `features` (N, P), no NaN; the intercept is not penalised.

    The leave-one-out residual r / (1 - leverage) is exact for a given standardisation (Allen's PRESS, 1974).
    """
    mean = np.average(features, axis=0, weights=weights)
    scale = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights))
    scale = np.where(scale > 1e-12, scale, 1.0)
    design = np.column_stack([(features - mean) / scale, np.ones(len(features))])
    weighted = design * weights[:, None]
    gram = weighted.T @ design + np.diag(np.append(np.full(features.shape[1], penalty), 0.0))
    inverse = np.linalg.inv(gram)
    solution = inverse @ (weighted.T @ truth)
    leverage = np.einsum("np,np->n", weighted @ inverse, design)
    loo_residuals = (truth - design @ solution) / np.maximum(1.0 - leverage, 1e-6)
    return Ridge(mean, scale, solution[:-1], float(solution[-1]), loo_residuals)
