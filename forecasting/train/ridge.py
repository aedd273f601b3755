"""Closed-form ridge regression with leave-one-out residuals, and the one thread that makes its bits the same."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from forecasting.losses import Floats

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

IN_TURN = threading.RLock()
"""Held while the number is 1: it is the whole process's, and a fit that ends would restore it for one that goes on.

So fits in several threads of a process, as of a Dask worker that has several, take turns.
"""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A context, or decorator, in which BLAS uses one thread; the caller's number is restored afterwards.

    BLAS splits a sum by the number of threads, so its last bits depend on it. Matrices this small gain nothing from
    more, which on a busy machine wait for each other (a refit took 4.5 s of CPU, and 1.1 s on one).
    """
    with IN_TURN, _libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """The libraries of the process, looked for again only after an import, which alone can have loaded another one."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge."""

    mean: Floats  # (P,)
    scale: Floats  # (P,) 1 of a constant feature
    coefficients: Floats  # (P,) of the standardised features
    intercept: float
    loo_residuals: Floats  # (N,) weighted leave-one-out residuals of the training rows, truth - forecast

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
